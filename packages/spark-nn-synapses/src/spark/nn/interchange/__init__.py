"""Models and recordings in the formats of others: NIR, Neo, NWB."""

from .neo import from_neo, to_neo
from .nir import from_nir, to_nir
from .nwb import from_nwb

__all__ = ["to_nir", "from_nir", "from_neo", "to_neo", "from_nwb"]

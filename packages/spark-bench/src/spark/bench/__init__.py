"""How fast and how exact synaptic traces are on this machine, and against other libraries."""

from .__about__ import __version__
from .case import Case, Counts, Program

__all__ = ["Case", "Counts", "Program", "__version__"]

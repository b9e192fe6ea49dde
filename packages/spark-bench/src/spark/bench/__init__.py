"""Speed and accuracy of synaptic traces on this machine, and beside other libraries."""

from .__about__ import __version__
from .case import Case, Counts, Program

__all__ = ["Case", "Counts", "Program", "__version__"]

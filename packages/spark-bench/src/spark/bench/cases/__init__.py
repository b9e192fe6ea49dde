"""The cases that come with spark-bench: one file per kind of work."""

from . import calls, gradients, limits, scans, synapses, ways

BUILT_IN = (limits.cases, calls.cases, scans.cases, gradients.cases, synapses.cases, ways.cases)
"""Functions that return cases, in the order in which they are listed and run."""

__all__ = ["BUILT_IN"]

"""The built-in cases: one file per kind of work."""

from . import (
    budget,
    calls,
    connections,
    device,
    engine,
    gradients,
    limits,
    projections,
    scaling,
    scans,
    start,
    synapses,
    ways,
)

BUILT_IN = tuple(
    module.cases
    for module in (
        limits,
        calls,
        scans,
        gradients,
        synapses,
        connections,
        budget,
        scaling,
        ways,
        projections,
        device,
        engine,
        start,
    )
)
"""Functions that return cases, in the order in which they are listed and run."""

__all__ = ["BUILT_IN"]

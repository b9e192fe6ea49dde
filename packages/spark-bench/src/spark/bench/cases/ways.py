"""Ways to run over time on a grid of lengths and widths, for the thresholds of `auto`."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax

from spark.core.tracers import Method

from ..case import Case, Counts
from .tracers import KINDS, Kind, on_device, scanned, spikes

GRID = (
    *((steps, 1) for steps in (10, 100, 10**3, 10**5, 10**6)),
    *((steps, 100) for steps in (10, 100, 10**3, 10**5)),
    *((steps, 10**4) for steps in (10, 100, 10**3)),
    *((steps, 10**6) for steps in (10, 100)),
)
"""Steps and elements: from a few steps of one neuron to a million, and to a wide layer."""

WAYS: tuple[Method, ...] = ("sequential", "parallel")


def cases() -> Iterator[Case]:
    """Every class by every way at every point of the grid."""
    for kind in KINDS:
        for steps, elements in GRID:
            group = f"ways/{kind.name}/{steps}x{elements}"
            updates = steps * elements
            for way in WAYS:
                yield Case(
                    f"{group}/{way}",
                    functools.partial(scanned, kind, "float32", way, steps, elements),
                    Counts(
                        element_updates=updates,
                        bytes_moved=5 * updates,
                        flop=kind.flop * updates,
                    ),
                    {"steps": steps, "elements": elements},
                    ("tracers", "ways", kind.name, "float32", way),
                    group,
                    reference=way == "sequential",
                    observe=functools.partial(_memory, kind, steps, elements, way),
                )


def _memory(kind: Kind, steps: int, elements: int, way: Method) -> dict[str, float]:
    """Memory that the compiled program needs beside its inputs and outputs."""
    tracer, xs = kind.make(elements, "float32"), on_device(spikes((steps, elements)))
    scan = jax.jit(functools.partial(tracer.recurrence.scan, method=way))
    needed = scan.lower(tracer.parameters, tracer.state, xs).compile().memory_analysis()
    return {"temporary_bytes": needed.temp_size_in_bytes} if needed else {}

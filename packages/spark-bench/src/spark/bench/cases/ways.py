"""Ways to run over time on a grid of lengths and widths, for the table that `auto` goes by."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from spark.core.tracers import Method

from ..case import Case, Counts, Program
from .tracers import KINDS, Kind, on_device, spikes

GRID = (
    *((steps, 1) for steps in (10, 10**3, 10**5, 10**6)),
    *((steps, 100) for steps in (10, 10**3, 10**5)),
    *((steps, 10**4) for steps in (10, 10**3)),
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
                    functools.partial(_run, kind, steps, elements, way),
                    Counts(
                        element_updates=updates,
                        bytes_moved=5 * updates,
                        flop=kind.flop * updates,
                    ),
                    {"steps": steps, "elements": elements},
                    ("tracers", "ways", kind.name, "float32", way),
                    group,
                    reference=way == "sequential",
                )


def _run(kind: Kind, steps: int, elements: int, way: Method) -> Program:
    tracer, xs = kind.make(elements, "float32"), on_device(spikes((steps, elements)))
    return lambda: tracer.scan(xs, method=way)

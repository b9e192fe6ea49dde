"""One step of a projection, dense or event by event, on a grid of sizes and activities."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax

from spark.nn.components.synapses import Way, project

from ..case import Case, Counts, Program
from .synapses import kernel_of
from .tracers import on_device, spikes

GRID = tuple(
    (size, batch, activity)
    for size, batch in ((100, 1), (1000, 1), (4000, 1), (1000, 32))
    for activity in (0.001, 0.02, 0.2, 1.0)
)
"""Inputs and as many targets, samples, and part of the inputs that spike."""

WAYS: tuple[Way, ...] = ("dense", "events", "auto")


def cases() -> Iterator[Case]:
    """Every way at every point of the grid, and `auto`, which chooses at run time."""
    for size, batch, activity in GRID:
        group = f"ways/projection/{size}x{size}/batch={batch}/activity={activity:g}"
        events = round(activity * size * batch) * size
        rows = size * (1 - (1 - activity) ** batch)
        for way in WAYS:
            yield Case(
                f"{group}/{way}",
                functools.partial(projected, size, batch, activity, way),
                Counts(
                    element_updates=size * batch,
                    synaptic_events=events,
                    bytes_moved=round(4 * rows * size),
                    flop=2 * events,
                ),
                {"pre": size, "elements": size, "steps": 1, "batch": batch},
                ("synapses", "ways", "projection", "float32", way),
                group,
                reference=way == "dense",
            )


def projected(size: int, batch: int, activity: float, way: Way) -> Program:
    """One projection of spikes along a dense kernel."""
    weights = (on_device(kernel_of(size)),)
    spiking = on_device(spikes((size,) if batch == 1 else (batch, size), activity))
    step = jax.jit(functools.partial(project, way=way))
    return lambda: step(weights, spiking)

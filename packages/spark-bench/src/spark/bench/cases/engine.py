"""Spikes through synapses on a CPU: steps in a network's loop, beside plain C and dense JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import jax

from .. import plain_c
from ..case import Case, Counts, Program
from .engine_programs import (
    DELAYED,
    PROBABILITY,
    SPARSE,
    STEPS,
    delayed,
    delayed_c,
    dense,
    dense_c,
    loss,
    product,
    sparse,
    sparse_c,
)
from .tracers import RATE

DENSE = {100: 10_000, 1000: 1000, 4000: 200}
"""Inputs and as many targets of dense kernels, and steps."""

MANY = (0.5, 1.0)
"""Parts of the inputs that spike where a product should be as fast as anything."""

AT_ONCE = 12
"""Inputs that spike in a step of `DELAYED`."""

LARGE, MANY_AT_ONCE = (4000, 3900, 77_000), 24
"""Inputs, connections of each, and targets of a large step, and inputs that spike in it. It is
shared among threads: the load of the full-scale microcircuit of Potjans and Diesmann (2014), with
some of its rows."""

Programs: TypeAlias = Mapping[str, Callable[[], Program]]


def cases() -> Iterator[Case]:
    """Row by row: the reference first, then what is compared with it."""
    for rows in ("even", "varied"):
        yield from _row(
            f"sparse/{SPARSE}x{SPARSE}/{rows}",
            {"c": functools.partial(sparse_c, rows), "synapses": functools.partial(sparse, rows)},
            (STEPS, SPARSE, round(PROBABILITY * SPARSE)),
            PROBABILITY,
        )
    for size, steps in DENSE.items():
        yield from _dense("dense", size, steps, RATE, dense_c)
    for size, steps in DENSE.items():
        for activity in (RATE, *(MANY if size > min(DENSE) else ())):
            yield from _dense("product", size, steps, activity, product)
    for name, shape, at_once in (
        ("spiking", DELAYED, AT_ONCE),
        ("silent", DELAYED, 0),
        ("threads", LARGE, MANY_AT_ONCE),
    ):
        inputs, fan_out, targets = shape
        activity = at_once / inputs
        yield from _row(
            f"delays/{inputs}x{fan_out}/{name}",
            {
                "c": functools.partial(delayed_c, activity, shape),
                "synapses": functools.partial(delayed, activity, shape),
            },
            (STEPS, inputs, fan_out),
            activity,
            targets,
        )
    yield from _row(
        f"gradient/{SPARSE}x{SPARSE}",
        {name: functools.partial(loss, name) for name in ("loss", "backward", "gradient")},
        (STEPS, SPARSE, round(PROBABILITY * SPARSE)),
        PROBABILITY,
    )


def _dense(
    name: str, size: int, steps: int, activity: float, reference: Callable[..., Program]
) -> Iterator[Case]:
    shape = (steps, size)
    programs = {
        "c" if reference is dense_c else "product": functools.partial(reference, shape, activity),
        "synapses": functools.partial(dense, shape, activity),
    }
    yield from _row(
        f"{name}/{size}x{size}/activity={activity:g}", programs, (*shape, size), activity
    )


def _row(
    name: str,
    programs: Programs,
    sizes: tuple[int, int, int],
    activity: float,
    targets: int | None = None,
) -> Iterator[Case]:
    steps, size, fan_out = sizes
    elements = targets or size
    events = round(activity * size) * fan_out * steps
    for number, (program, setup) in enumerate(programs.items()):
        yield Case(
            f"engine/{name}/{program}",
            setup,
            Counts(element_updates=elements * steps, synaptic_events=events, flop=2 * events),
            {"pre": size, "elements": elements, "steps": steps, "batch": 1, "activity": activity},
            ("synapses", "engine", "float32", program),
            f"engine/{name}",
            reference=number == 0,
            missing=_no_cpu_or_compiler if program == "c" else no_cpu,
        )


def no_cpu() -> str | None:
    """Why a case of the engine does not run here, or None if it does."""
    here = jax.default_backend()
    return None if here == "cpu" else f"it is about CPUs, and JAX runs on another device ({here})"


def _no_cpu_or_compiler() -> str | None:
    return no_cpu() or plain_c.missing()

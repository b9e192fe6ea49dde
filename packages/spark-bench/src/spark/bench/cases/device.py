"""First measurements of an accelerator: a trace, a sequence in parallel, and projections."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.tracers import State
from spark.nn.components.synapses import LinearSynapses, RandomConnectivity

from ..case import Case, Counts, Program
from .limits import in_place
from .projections import projected
from .tracers import KINDS, on_device, scanned, spikes
from .ways import WAYS

TRACE, DTYPES = 4 * 10**8, ("float32", "float16")
"""Elements of a trace that takes far longer than a dispatch, and their dtypes."""

SEQUENCE = (10_000, 1000)
"""Steps and elements of a sequence that is long and narrow."""

INPUTS, ACTIVITY = 16_384, 0.01
"""Inputs and as many targets, and part of the inputs that spike."""

Programs = Mapping[str, Callable[[], Program]]


def cases() -> Iterator[Case]:
    """Trace, sequence and projection, each beside its reference."""
    for dtype in DTYPES:
        width = jnp.dtype(dtype).itemsize
        yield from _group(
            f"trace/{dtype}/{TRACE}",
            {"copy": functools.partial(_copy, dtype), "step": functools.partial(_step, dtype)},
            Counts(element_updates=TRACE, bytes_moved=2 * width * TRACE, flop=3 * TRACE),
            {"elements": TRACE, "steps": 1},
        )
    updates = SEQUENCE[0] * SEQUENCE[1]
    yield from _group(
        f"sequence/{SEQUENCE[0]}x{SEQUENCE[1]}",
        {way: functools.partial(scanned, KINDS[0], "float32", way, *SEQUENCE) for way in WAYS},
        Counts(element_updates=updates, bytes_moved=5 * updates, flop=3 * updates),
        {"steps": SEQUENCE[0], "elements": SEQUENCE[1]},
    )
    events = round(ACTIVITY * INPUTS) * INPUTS
    yield from _group(
        f"projection/{INPUTS}x{INPUTS}/activity={ACTIVITY:g}",
        {
            "dense": functools.partial(projected, INPUTS, 1, ACTIVITY, "dense"),
            "stored-1%": _stored,
        },
        Counts(synaptic_events=events, flop=2 * events),
        {"pre": INPUTS, "elements": INPUTS, "steps": 1},
    )


def _group(
    name: str, programs: Programs, counts: Counts, sizes: Mapping[str, float]
) -> Iterator[Case]:
    for number, (program, setup) in enumerate(programs.items()):
        group = f"device/{name}"
        tags = ("device",)
        yield Case(f"{group}/{program}", setup, counts, sizes, tags, group, reference=number == 0)


def _copy(dtype: str, elements: int = TRACE) -> Program:
    """The state read and written once, in place."""
    return in_place(lambda y: -y, jnp.ones(elements, dtype))


def _step(dtype: str, elements: int = TRACE) -> Program:
    """A step of a trace, in place; its spikes are another byte to read per element."""
    tracer = KINDS[0].make(elements, dtype)
    pattern = spikes((min(elements, 10**6),))
    x, parameters = on_device(np.resize(pattern, elements)), tracer.parameters

    def step(state: State) -> State:
        after, _ = tracer.recurrence.step(parameters, state, x)
        return after

    return in_place(step, tracer.state)


def _stored(size: int = INPUTS) -> Program:
    """A step of a projection along one in a hundred of the connections, stored."""
    synapses = LinearSynapses(
        units=size, connectivity=RandomConnectivity(probability=0.01), dtype="float32"
    )
    x: Array = on_device(spikes((size,), ACTIVITY))
    return lambda: synapses(x).value

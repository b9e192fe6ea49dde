"""What an accelerator is asked first: its bandwidth in a trace, parallel time, and projections."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.tracers import Method, State
from spark.nn.components.synapses import LinearSynapses, RandomConnectivity, project

from ..case import Case, Counts, Program
from .tracers import KINDS, on_device, spikes
from .ways import WAYS

TRACE, DTYPES = 4 * 10**8, ("float32", "float16")
"""Elements of a trace that takes far longer than a call, and what they are stored in."""

SEQUENCE = (10_000, 1000)
"""Steps and elements of a sequence that is long and narrow."""

INPUTS, ACTIVITY = 16_384, 0.01
"""Inputs, as many targets, and part of the inputs that spike."""

Programs = Mapping[str, Callable[[], Program]]


def cases() -> Iterator[Case]:
    """Three questions, each beside its reference."""
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
        {way: functools.partial(_sequence, way) for way in WAYS},
        Counts(element_updates=updates, bytes_moved=5 * updates, flop=3 * updates),
        {"steps": SEQUENCE[0], "elements": SEQUENCE[1]},
    )
    events = round(ACTIVITY * INPUTS) * INPUTS
    yield from _group(
        f"projection/{INPUTS}x{INPUTS}/activity={ACTIVITY:g}",
        {
            "dense": _product,
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
    return _in_place(lambda y: -y, jnp.ones(elements, dtype))


def _step(dtype: str, elements: int = TRACE) -> Program:
    """A step of a trace, in place; its spikes are a byte an element more to read."""
    tracer = KINDS[0].make(elements, dtype)
    pattern = spikes((min(elements, 10**6),))
    x, parameters = on_device(np.resize(pattern, elements)), tracer.parameters

    def step(state: State) -> State:
        after, _ = tracer.recurrence.step(parameters, state, x)
        return after

    return _in_place(step, tracer.state)


def _in_place(step: Callable[..., object], start: object) -> Program:
    run = jax.jit(step, donate_argnums=0)
    held = [jax.tree.map(jnp.copy, start)]

    def program() -> object:
        held[0] = run(held[0])
        return held[0]

    return program


def _sequence(way: Method, steps: int = SEQUENCE[0], elements: int = SEQUENCE[1]) -> Program:
    tracer, xs = KINDS[0].make(elements, "float32"), on_device(spikes((steps, elements)))
    return lambda: tracer.scan(xs, method=way)


def _product(size: int = INPUTS) -> Program:
    """A step of a projection along a dense kernel."""
    kernel = np.random.default_rng(2).standard_normal((size, size), np.float32)
    weights, spiking = (on_device(kernel),), on_device(spikes((size,), ACTIVITY))
    step = jax.jit(functools.partial(project, way="dense"))
    return lambda: step(weights, spiking)


def _stored(size: int = INPUTS) -> Program:
    """The same along one in a hundred of the connections, stored."""
    synapses = LinearSynapses(
        units=size, connectivity=RandomConnectivity(probability=0.01), dtype="float32"
    )
    x: Array = on_device(spikes((size,), ACTIVITY))
    return lambda: synapses(x).value

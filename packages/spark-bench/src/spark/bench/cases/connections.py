"""Sparse connections, delays and short-term plasticity: whole sequences of steps through them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from spark.core.tracers import TraceState
from spark.nn.components.synapses import (
    DelayState,
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    RUTracedSynapses,
    TracedSynapses,
)

from ..case import Case, Counts, Program
from .tracers import on_device, spikes

SIZE, FAN_OUT, RATE, STEPS = 10_000, 100, 0.01, 100
"""Of sparse connections: inputs and as many targets, connections of one, and part that spikes."""

DENSE, LATE = 1000, 16
"""Of delays and plasticity: inputs and as many targets, and the longest delay in steps."""


def cases() -> Iterator[Case]:
    """Connections that are stored and drawn; delays; and plasticity."""
    yield from _sparse()
    yield from _dense("delays", ("none", "inputs", "connections"))
    yield from _dense("plasticity", ("none", "release"))


def _sparse() -> Iterator[Case]:
    group = f"sparse/{SIZE}x{SIZE}"
    made: dict[str, Callable[[], Program]] = {
        "all-connections": _every_connection,
        "fan-out": functools.partial(_connected, SIZE, FixedFanOut(fan_out=FAN_OUT)),
        "random": functools.partial(_connected, SIZE, RandomConnectivity(probability=RATE)),
        "procedural": functools.partial(_connected, SIZE, ProceduralConnectivity(fan_out=FAN_OUT)),
    }
    for name, make in made.items():
        yield Case(
            f"{group}/{name}",
            make,
            _counts(SIZE, FAN_OUT, STEPS),
            {"pre": SIZE, "elements": SIZE, "steps": STEPS, "batch": 1},
            ("synapses", "sparse", "float32", name),
            group,
            reference=name == "all-connections",
        )
    large = 100_000
    yield Case(
        f"sparse/{large}x{large}/procedural",
        functools.partial(_connected, large, ProceduralConnectivity(fan_out=1000), 10),
        _counts(large, 1000, 10),
        {"pre": large, "elements": large, "steps": 10, "batch": 1},
        ("synapses", "sparse", "float32", "procedural"),
        f"sparse/{large}x{large}",
        reference=True,
    )


def _counts(size: int, fan_out: int, steps: int) -> Counts:
    events = round(RATE * size) * fan_out * steps
    return Counts(
        element_updates=steps * size,
        synaptic_events=events,
        bytes_moved=6 * events,
        flop=2 * events,
    )


def _connected(size: int, connectivity: Any, steps: int = STEPS) -> Program:
    synapses = TracedSynapses(units=size, connectivity=connectivity, dtype="float32")
    return _stepped(synapses, on_device(spikes((steps, size), RATE)))


def _every_connection() -> Program:
    """What JAX makes of it without looking for spikes: a scatter of all connections."""
    rng = np.random.default_rng(3)
    pre = on_device(np.repeat(np.arange(SIZE, dtype=np.int32), FAN_OUT))
    post = on_device(rng.integers(SIZE, size=SIZE * FAN_OUT, dtype=np.int32))
    weights = on_device(rng.random(SIZE * FAN_OUT, np.float32))
    xs, decay = on_device(spikes((STEPS, SIZE), RATE)), np.exp(-1 / 5).astype(np.float32)

    @jax.jit
    def run(pre: Any, post: Any, weights: Any, xs: Any) -> Any:
        def step(y: Any, x: Any) -> Any:
            return (decay * y).at[post].add(jnp.where(x[pre], weights, 0)), None

        return lax.scan(step, jnp.zeros(SIZE), xs)[0]

    return lambda: run(pre, post, weights, xs)


def _dense(what: str, kinds: Sequence[str]) -> Iterator[Case]:
    group = f"{what}/{DENSE}x{DENSE}"
    for name in kinds:
        yield Case(
            f"{group}/{name}",
            functools.partial(_with, name),
            _counts(DENSE, DENSE, STEPS),
            {"pre": DENSE, "elements": DENSE, "steps": STEPS, "batch": 1},
            ("synapses", what, "float32", name),
            group,
            reference=name == "none",
        )


def _with(name: str) -> Program:
    rng = np.random.default_rng(4)
    options: dict[str, Any] = {
        "units": DENSE,
        "dtype": "float32",
        "kernel_initializer": rng.standard_normal((DENSE, DENSE), np.float32),
    }
    if name == "inputs":
        options["delays"] = rng.integers(LATE + 1, size=DENSE)
    elif name == "connections":
        options["delays"] = rng.integers(LATE + 1, size=(DENSE, DENSE))
    kind = RUTracedSynapses if name == "release" else TracedSynapses
    return _stepped(kind(**options), on_device(spikes((STEPS, DENSE), RATE)))


def _stepped(synapses: LinearSynapses, xs: jax.Array) -> Program:
    """One step after the other, in one program, of which the last currents are wanted."""
    synapses.build({"spikes": InputSpec(xs.shape[1:])})
    moves = (TraceState, DelayState, nnx.RngCount)
    definition, moving, *fixed = nnx.split(synapses, moves, ...)
    before, last = xs[:-1], xs[-1]

    @jax.jit
    def run(moving: Any, fixed: Any, before: jax.Array, last: jax.Array) -> jax.Array:
        def step(moving: Any, x: jax.Array) -> tuple[Any, None]:
            synapses = nnx.merge(definition, moving, *fixed)
            synapses(x)
            return nnx.state(synapses, moves), None

        moving, _ = lax.scan(step, moving, before)
        return nnx.merge(definition, moving, *fixed)(last).value

    return lambda: run(moving, fixed, before, last)

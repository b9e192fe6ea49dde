"""Sparse connections, delays and short-term plasticity: whole sequences of steps through them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    ProceduralConnectivity,
    RandomConnectivity,
    RUTracedSynapses,
    TracedSynapses,
)

from ..case import Case, Counts, Program
from .stepping import loop
from .tracers import on_device, spikes

SIZE, FAN_OUT, RATE, STEPS = 10_000, 100, 0.01, 100
"""Sparse cases: inputs and as many targets, connections of an input, activity, and steps."""

DENSITY = FAN_OUT / SIZE
"""Part of all connections."""

DENSE, LONGEST_DELAY = 1000, 16
"""Cases of delays and plasticity: inputs and as many targets, and the longest delay in steps."""


def cases() -> Iterator[Case]:
    """Stored and procedural connections; delays; and plasticity."""
    yield from _sparse()
    yield from _dense("delays", ("none", "inputs", "connections"))
    yield from _dense("plasticity", ("none", "release"))


def _sparse() -> Iterator[Case]:
    group = f"sparse/{SIZE}x{SIZE}"
    made: dict[str, Callable[[], Program]] = {
        "all-connections": _scatter,
        f"fan_out={FAN_OUT}": functools.partial(_connected, SIZE, FixedFanOut(fan_out=FAN_OUT)),
        f"probability={DENSITY:g}": functools.partial(
            _connected, SIZE, RandomConnectivity(probability=DENSITY)
        ),
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
    return _last(
        TracedSynapses(units=size, connectivity=connectivity, dtype="float32"), (steps, size)
    )


def _last(synapses: TracedSynapses, shape: tuple[int, int]) -> Program:
    """Steps along spikes of shape `(steps, inputs)`, for the last currents."""
    synapses.build({"spikes": InputSpec(shape[1:])})
    return loop(synapses, on_device(spikes(shape, RATE)), keep="last")


def _scatter() -> Program:
    """Plain JAX that does not look for spikes: a scatter-add along all connections."""
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


def _dense(family: str, variants: Sequence[str]) -> Iterator[Case]:
    group = f"{family}/{DENSE}x{DENSE}"
    for name in variants:
        yield Case(
            f"{group}/{name}",
            functools.partial(_variant, name),
            _counts(DENSE, DENSE, STEPS),
            {"pre": DENSE, "elements": DENSE, "steps": STEPS, "batch": 1},
            ("synapses", family, "float32", name),
            group,
            reference=name == "none",
        )


def _variant(name: str) -> Program:
    """Dense synapses with one of the delays or plasticity that `name` gives."""
    rng = np.random.default_rng(4)
    options: dict[str, Any] = {
        "units": DENSE,
        "dtype": "float32",
        "kernel_initializer": rng.standard_normal((DENSE, DENSE), np.float32),
    }
    if name == "inputs":
        options["delays"] = rng.integers(LONGEST_DELAY + 1, size=DENSE)
    elif name == "connections":
        options["delays"] = rng.integers(LONGEST_DELAY + 1, size=(DENSE, DENSE))
    kind = RUTracedSynapses if name == "release" else TracedSynapses
    return _last(kind(**options), (STEPS, DENSE))

"""Spikes through synapses on a CPU: programs of the engine, of plain C, and of dense JAX."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from spark.nn.components.synapses import (
    Connectivity,
    FixedFanOut,
    InputSpec,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
)

from .. import plain_c
from ..case import Program
from .stepping import loop
from .synapses import kernel_of
from .tracers import on_device, spikes

SPARSE, PROBABILITY = 10_000, 0.01
"""Inputs and as many targets of sparse connections; part that is connected, and that spikes."""

LATEST = 60
"""Longest delay, in steps."""

DELAYED = 20_000, 1000, 20_000
"""Of delays: inputs, connections of each, and targets."""

STEPS = 1000
"""Of what is not dense."""

TAU = 5.0
DECAY = float(np.exp(-1 / TAU))


# Sparse connections -------------------------------------------------------------------------------


def sparse(rows: str, size: int = SPARSE, steps: int = STEPS) -> Program:
    """Steps along stored connections.

    Args:
        rows: `"even"`, of one length, or `"varied"`.
        size: Inputs, and as many targets.
        steps: Steps of a call.

    Returns:
        What starts at rest and returns the currents summed over all steps.
    """
    return _summed(_connected(rows, size), _pattern((steps, size), PROBABILITY))


def sparse_c(rows: str, size: int = SPARSE, steps: int = STEPS) -> Program:
    """The same in C; arguments and result are those of `sparse`."""
    starts, places, weights = _stored(_connected(rows, size), size)
    xs = np.asarray(_pattern((steps, size), PROBABILITY))
    return plain_c.sparse(starts, places, weights, xs, size, DECAY)


# The last one is kept for what it is compared with.
@functools.lru_cache(1)
def _connected(rows: str, size: int) -> TracedSynapses:
    fan_out = round(PROBABILITY * size)
    connectivity: Mapping[str, Connectivity] = {
        "even": FixedFanOut(fan_out=fan_out),
        "varied": RandomConnectivity(probability=PROBABILITY),
    }
    return _built(size, connectivity=connectivity[rows])


def _stored(synapses: TracedSynapses, inputs: int) -> tuple[Any, Any, Any]:
    """Starts of the rows, places and weights of the connections, as synapses hold them."""
    matrix = synapses.matrix
    assert matrix is not None
    starts, places = (np.asarray(each.get_value()) for each in matrix.adjacency)
    weights = np.asarray(matrix.weights.get_value())
    if len(starts) == 1:  # rows of one length
        starts = np.arange(inputs + 1) * (len(places) // inputs)
    return starts, places, weights


# Dense kernels ------------------------------------------------------------------------------------


def dense(shape: tuple[int, int], activity: float) -> Program:
    """Steps along a dense kernel.

    Args:
        shape: Steps, and inputs and as many targets.
        activity: Part of the inputs that spike.

    Returns:
        What starts at rest and returns the currents summed over all steps.
    """
    _, size = shape
    return _summed(_built(size, kernel_initializer=kernel_of(size)), _pattern(shape, activity))


def dense_c(shape: tuple[int, int], activity: float) -> Program:
    """The same in C; arguments and result are those of `dense`."""
    _, size = shape
    return plain_c.dense(kernel_of(size).T, np.asarray(_pattern(shape, activity)), DECAY)


def product(shape: tuple[int, int], activity: float) -> Program:
    """A product and a trace per step, in JAX; arguments and result are those of `dense`."""
    _, size = shape
    kernel, xs = on_device(kernel_of(size)), _pattern(shape, activity)
    rest, decay = jnp.zeros(size), jnp.float32(DECAY)

    @jax.jit
    def run(kernel: jax.Array, rest: jax.Array, xs: jax.Array) -> jax.Array:
        def step(carry: Any, spikes: jax.Array) -> tuple[Any, None]:
            trace, total = carry
            # For one vector, XLA's CPU product is fastest along the rows of a matrix.
            trace = decay * trace + kernel @ spikes.astype(jnp.float32)
            return (trace, total + trace), None

        (_, total), _ = lax.scan(step, (rest, rest), xs)
        return total

    return lambda: run(kernel, rest, xs)


# Delays of connections ----------------------------------------------------------------------------


def delayed(activity: float, shape: tuple[int, int, int] = DELAYED, steps: int = STEPS) -> Program:
    """Steps along connections with a delay each.

    Args:
        activity: Part of the inputs that spike.
        shape: Inputs, connections of each, and targets.
        steps: Steps in the loop.

    Returns:
        What starts at rest and returns the currents summed over all steps.
    """
    return _summed(_late(shape), _pattern((steps, shape[0]), activity))


def delayed_c(
    activity: float, shape: tuple[int, int, int] = DELAYED, steps: int = STEPS
) -> Program:
    """The same in C; arguments and result are those of `delayed`."""
    inputs, _, targets = shape
    starts, places, weights = _stored(_late(shape), inputs)
    xs = np.asarray(_pattern((steps, inputs), activity))
    return plain_c.delayed(starts, places, weights, xs, (LATEST + 1, targets), DECAY)


@functools.lru_cache(1)
def _late(shape: tuple[int, int, int]) -> TracedSynapses:
    inputs, fan_out, targets = shape
    rng = np.random.default_rng(5)
    delays = rng.integers(1, LATEST, (inputs, fan_out), endpoint=True)
    delays[0, 0] = LATEST
    connectivity = SparseConnectivity(
        pre=np.repeat(np.arange(inputs), fan_out),
        post=rng.integers(targets, size=(inputs, fan_out)).reshape(-1),
        delays=delays.reshape(-1),
    )
    return _built(inputs, targets, connectivity=connectivity)


# Gradients ----------------------------------------------------------------------------------------


def loss(program: str, size: int = SPARSE, steps: int = STEPS) -> Program:
    """A loss of the currents of a whole sequence, or its gradient by every stored weight.

    Args:
        program: `"loss"`, which is quadratic; `"gradient"` of that one; or `"backward"`, the
            gradient of a loss that is linear, which needs no currents.
        size: Inputs, and as many targets.
        steps: Steps of the sequence.

    Returns:
        What returns the loss, or the gradient.
    """
    synapses = _connected("varied", size)
    aim = on_device(np.random.default_rng(6).standard_normal(size, np.float32))
    xs = _pattern((steps, size), PROBABILITY)
    parts: Any = nnx.split(synapses, nnx.Param, ...)
    graph, kernel, state = parts

    def of(kernel: Any, state: Any, xs: jax.Array, aim: jax.Array) -> jax.Array:
        synapses = nnx.merge(graph, kernel, state, copy=True)
        readout = synapses.scan(xs).value @ aim
        return jnp.sum(readout if program == "backward" else readout**2)

    run = jax.jit(of if program == "loss" else jax.grad(of))
    return lambda: run(kernel, state, xs, aim)


# Both of steps ------------------------------------------------------------------------------------


def _built(size: int, targets: int | None = None, **options: Any) -> TracedSynapses:
    synapses = TracedSynapses(units=targets or size, tau=TAU, dtype="float32", **options)
    synapses.build({"spikes": InputSpec((size,))})
    return synapses


def _pattern(shape: tuple[int, int], activity: float) -> jax.Array:
    return on_device(spikes(shape, activity))


def _summed(synapses: TracedSynapses, xs: jax.Array) -> Program:
    return loop(synapses, xs, keep="sum")

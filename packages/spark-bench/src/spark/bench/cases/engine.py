"""Spikes through synapses on a CPU: steps in a network's loop, beside plain C and dense JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

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
from ..case import Case, Counts, Program
from .stepping import loop
from .synapses import kernel_of
from .tracers import RATE, on_device, spikes

SPARSE, PROBABILITY = 10_000, 0.01
"""Inputs and as many targets of sparse connections; part that is connected, and that spikes."""

DENSE = {100: 10_000, 1000: 1000, 4000: 200}
"""Inputs and as many targets of dense kernels, and steps."""

MANY = (0.5, 1.0)
"""Parts of the inputs that spike where a product should be as fast as anything."""

LATEST = 60
"""Longest delay, in steps."""

DELAYED, AT_ONCE = (20_000, 1000, 20_000), 12
"""Of delays: inputs, connections of each, and targets; inputs that spike in a step."""

LARGE, MANY_AT_ONCE = (4000, 3900, 77_000), 24
"""The same of a large step, which is shared among threads: the load of the full-scale microcircuit
of Potjans and Diesmann (2014), with some of its rows."""

STEPS = 1000
"""Of what is not dense."""

TAU = 5.0
DECAY = float(np.exp(-1 / TAU))

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

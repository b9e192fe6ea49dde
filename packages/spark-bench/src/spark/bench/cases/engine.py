"""Spikes through synapses on a CPU: steps in a network's loop, beside plain C and dense JAX."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
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
from ..environment import python_path
from .synapses import kernel_of
from .tracers import RATE, on_device, spikes

SPARSE, PROBABILITY = 10_000, 0.01
"""Inputs and as many targets of sparse connections; part that is connected, and that spikes."""

DENSE = {100: 10_000, 1000: 1000, 4000: 200}
"""Inputs and as many targets of dense kernels, and steps."""

MANY = (0.5, 1.0)
"""Parts of the inputs that spike where a product should be as fast as anything."""

INPUTS, FAN_OUT, LATEST, AT_ONCE = 20_000, 1000, 60, 12
"""Of delays: inputs and as many targets, connections of each input, longest delay, and inputs that
spike in a step."""

LARGE = {"size": 4000, "fan_out": 3900, "targets": 77_000}, 24
"""Of the delays of a large step, and inputs that spike in it: as in the full-scale microcircuit of
Potjans and Diesmann (2014), of whose rows these are some. Such steps are shared among threads."""

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
    for name, activity in (("spiking", AT_ONCE / INPUTS), ("silent", 0.0)):
        yield from _row(
            f"delays/{INPUTS}x{FAN_OUT}/{name}",
            {
                "c": functools.partial(delayed_c, activity),
                "synapses": functools.partial(delayed, activity),
            },
            (STEPS, INPUTS, FAN_OUT),
            activity,
        )
    large, at_once = LARGE
    activity = at_once / large["size"]
    yield from _row(
        f"delays/{large['size']}x{large['fan_out']}/threads",
        {
            "c": functools.partial(delayed_c, activity, **large),
            "synapses": functools.partial(delayed, activity, **large),
        },
        (STEPS, large["size"], large["fan_out"]),
        activity,
    )
    yield from _row(
        f"gradient/{SPARSE}x{SPARSE}",
        {name: functools.partial(loss, name) for name in ("loss", "backward", "gradient")},
        (STEPS, SPARSE, round(PROBABILITY * SPARSE)),
        PROBABILITY,
    )
    yield from _start()


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
    name: str, programs: Programs, sizes: tuple[int, int, int], activity: float
) -> Iterator[Case]:
    steps, size, fan_out = sizes
    events = round(activity * size) * fan_out * steps
    for number, (program, setup) in enumerate(programs.items()):
        yield Case(
            f"engine/{name}/{program}",
            setup,
            Counts(element_updates=size * steps, synaptic_events=events, flop=2 * events),
            {"pre": size, "elements": size, "steps": steps, "batch": 1, "activity": activity},
            ("synapses", "engine", "float32", program),
            f"engine/{name}",
            reference=number == 0,
            missing=_no_cpu_or_compiler if program == "c" else _no_cpu,
        )


def _no_cpu() -> str | None:
    here = jax.default_backend()
    return None if here == "cpu" else f"it is about CPUs, and JAX runs on another device ({here})"


def _no_cpu_or_compiler() -> str | None:
    return _no_cpu() or plain_c.missing()


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
    return _stepped(_connected(rows, size), _pattern((steps, size), PROBABILITY))


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
    starts, places = (np.asarray(wire.get_value()) for wire in matrix.wires)
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
    return _stepped(_built(size, kernel_initializer=kernel_of(size)), _pattern(shape, activity))


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


def delayed(
    activity: float,
    size: int = INPUTS,
    fan_out: int = FAN_OUT,
    steps: int = STEPS,
    targets: int | None = None,
) -> Program:
    """Steps along connections with a delay each.

    Args:
        activity: Part of the inputs that spike.
        size: Inputs.
        fan_out: Connections of an input.
        steps: Steps in the loop.
        targets: Targets; as many as inputs if None.

    Returns:
        What starts at rest and returns the currents summed over all steps.
    """
    return _stepped(_late(size, fan_out, targets or size), _pattern((steps, size), activity))


def delayed_c(
    activity: float,
    size: int = INPUTS,
    fan_out: int = FAN_OUT,
    steps: int = STEPS,
    targets: int | None = None,
) -> Program:
    """The same in C; arguments and result are those of `delayed`."""
    starts, places, weights = _stored(_late(size, fan_out, targets or size), size)
    xs = np.asarray(_pattern((steps, size), activity))
    return plain_c.delayed(starts, places, weights, xs, (LATEST + 1, targets or size), DECAY)


@functools.lru_cache(1)
def _late(size: int, fan_out: int, targets: int) -> TracedSynapses:
    rng = np.random.default_rng(5)
    shape = (size, fan_out)
    delays = rng.integers(1, LATEST, shape, endpoint=True)
    delays[0, 0] = LATEST
    connectivity = SparseConnectivity(
        pre=np.repeat(np.arange(size), fan_out),
        post=rng.integers(targets, size=shape).reshape(-1),
        delays=delays.reshape(-1),
    )
    return _built(size, targets, connectivity=connectivity)


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


def _stepped(synapses: TracedSynapses, xs: jax.Array) -> Program:
    """One call a step in the loop of a network, which hands everything on but the kernel."""
    parts: Any = nnx.split(synapses, nnx.Param, ...)
    graph, kernel, state = parts
    nothing = jnp.zeros(synapses.config.units)

    @jax.jit
    def run(kernel: Any, state: Any, nothing: jax.Array, xs: jax.Array) -> jax.Array:
        def step(carry: Any, spikes: jax.Array) -> tuple[Any, None]:
            state, total = carry
            synapses = nnx.merge(graph, kernel, state)
            total = total + synapses(spikes).value
            return (nnx.state(synapses, nnx.Not(nnx.Param)), total), None

        (_, total), _ = lax.scan(step, (state, nothing), xs)
        return total

    return lambda: run(kernel, state, nothing, xs)


# New processes ------------------------------------------------------------------------------------

_FIRST_CALL = """
import time
import numpy as np
from spark.nn.components.synapses import FixedFanOut, InputSpec, TracedSynapses

synapses = TracedSynapses(units={size}, connectivity={connectivity}, dtype="float32")
synapses.build({{"spikes": InputSpec(({size},))}})
spikes = np.arange({size}) % 50 == 0
start = time.perf_counter()
synapses(spikes).value.block_until_ready()
print(time.perf_counter() - start)
"""


def first_call(connectivity: str, size: int = 1000) -> str:
    """A script that makes synapses, takes a step, and prints how long that took, s.

    Args:
        connectivity: `"dense"` or `"sparse"`.
        size: Inputs, and as many targets.
    """
    made = {"dense": repr("dense"), "sparse": f"FixedFanOut(fan_out={size // 100})"}
    return _FIRST_CALL.format(size=size, connectivity=made[connectivity])


def _start() -> Iterator[Case]:
    """A new process from its start to its end, beside one that imports JAX and Flax alone."""
    scripts = {
        "jax": "import flax.nnx",
        "import": "import spark.nn.components.synapses",
        "first-call-dense": first_call("dense"),
        "first-call-sparse": first_call("sparse"),
    }
    for name, script in scripts.items():
        calls = name.startswith("first-call")
        yield Case(
            f"engine/start/{name}",
            functools.partial(process, script),
            sizes={"steps": 1} if calls else {},
            tags=("synapses", "engine", "compile"),
            group="engine/start",
            reference=name == "jax",
            observe=functools.partial(_first_step, script) if calls else None,
            missing=_no_cpu,
        )


def process(script: str) -> Program:
    """A process that runs a script, with kernels that an earlier one has compiled.

    Args:
        script: What it runs.

    Returns:
        What starts the process and waits for its end.
    """
    _process(script)
    return lambda: _process(script)


def _first_step(script: str) -> dict[str, float]:
    """The first step alone, without imports and build."""
    return {"first_step_s": float(_process(script))}


def _process(script: str) -> str:
    command, variables = [sys.executable, "-c", script], os.environ | {"PYTHONPATH": python_path()}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the process failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout

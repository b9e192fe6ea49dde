"""Whole sequences through synapses, at once and in steps: classes and layouts by activity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    TracedSynapses,
)

from ..case import Case, Counts, Program
from .stepping import loop
from .tracers import on_device, spikes

ACTIVITIES = (0.001, 0.02, 0.2, 1.0)
"""Parts of the inputs that spike in a step."""

SIZES = ((100, 1000), (1000, 200), (4000, 20), (10_000, 20))
"""Inputs, as many targets, and steps: from within the first cache to 400 MB of kernel."""

PER_SYNAPSE = 4000
"""Largest size at which a trace per synapse is measured: each needs as much again as the kernel."""


def _varied(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Time constants that differ from element to element."""
    return np.random.default_rng(1).uniform(3.0, 10.0, shape).astype(np.float32)


def _receptors(size: int) -> np.ndarray[Any, Any]:
    """Two time constants, of excitatory and of inhibitory inputs."""
    return np.where(np.arange(size) < 0.8 * size, 2.0, 8.0)[None].astype(np.float32)


# Class, its time constants for a size, and traces per target; None means one per synapse.
PROGRAMS: dict[str, tuple[Any, Callable[[int], dict[str, Any]], int | None]] = {
    "linear": (LinearSynapses, lambda n: {}, 0),
    "traced-shared": (TracedSynapses, lambda n: {"tau": 5.0}, 1),
    "traced-target": (TracedSynapses, lambda n: {"tau": _varied((n,))}, 1),
    "traced-group": (TracedSynapses, lambda n: {"tau": _receptors(n)}, 2),
    "traced-synapse": (TracedSynapses, lambda n: {"tau": _varied((n, n))}, None),
    "double-shared": (DoubleTracedSynapses, lambda n: {"tau_1": 2.0, "tau_2": 8.0}, 2),
    "double-group": (
        DoubleTracedSynapses,
        lambda n: {"tau_1": 1.0, "tau_2": _receptors(n)},
        4,
    ),
}


def cases() -> Iterator[Case]:
    """Every class and layout by size and activity; a batch, and half precision."""
    for size, steps in SIZES:
        yield from _family(size, steps, "float32", batch=1)
    yield from _family(1000, 20, "float32", batch=32)
    yield from _family(1000, 200, "float16", batch=1)


def _family(size: int, steps: int, dtype: str, batch: int) -> Iterator[Case]:
    for activity in ACTIVITIES:
        shape = (steps, size) if batch == 1 else (steps, batch, size)
        where = f"synapses/{size}x{size}/{dtype}/batch={batch}"
        group = f"{where}/activity={activity:g}"
        programs: dict[str, tuple[Callable[[], Program], int | None]] = {
            "hand-written": (functools.partial(hand_written, shape, activity, dtype), 1)
        }
        for name, (_, _, traces) in PROGRAMS.items():
            run = functools.partial(_run, name, shape, activity, dtype)
            if traces is not None or (size <= PER_SYNAPSE and batch == 1):
                programs[name] = run, traces
        in_steps = functools.partial(stepped, "traced-shared", shape, activity, dtype)
        programs["traced-shared-steps"] = in_steps, 1
        for name, (setup, traces) in programs.items():
            yield Case(
                f"{where}/{name}/activity={activity:g}",
                setup,
                _counts(size, steps, batch, activity, dtype, traces),
                {
                    "pre": size,
                    "elements": size,
                    "steps": steps,
                    "batch": batch,
                    "activity": activity,
                },
                ("synapses", dtype, name),
                group,
                reference=name == "hand-written",
                quick=(size, activity, batch, dtype) == (1000, 0.02, 1, "float32")
                and name in ("hand-written", "linear", "traced-shared", "traced-shared-steps"),
            )


def _counts(
    size: int, steps: int, batch: int, activity: float, dtype: str, traces: int | None
) -> Counts:
    events = round(activity * size * batch) * size * steps
    wide = jnp.dtype(dtype).itemsize
    # Rows of inputs that spike in any sample are read once a step.
    rows = size * (1 - (1 - activity) ** batch)
    moved = rows * size * wide
    state = size * size if traces is None else traces * size
    if traces is None:
        moved += 2 * state * wide
    return Counts(
        element_updates=max(state, size) * batch * steps,
        synaptic_events=events,
        bytes_moved=round(moved * steps),
        flop=2 * events,
    )


def kernel_of(size: int) -> np.ndarray[Any, Any]:
    """A kernel, the same in every process."""
    return np.random.default_rng(2).standard_normal((size, size), np.float32)


def built(name: str, shape: tuple[int, ...], dtype: str = "float32") -> LinearSynapses:
    """The synapses of a program, for spikes of shape `(steps, *batch, inputs)`."""
    cls, parameters, _ = PROGRAMS[name]
    size = shape[-1]
    kernel = kernel_of(size)
    synapses: LinearSynapses = cls(
        units=(size,), dtype=dtype, kernel_initializer=kernel, **parameters(size)
    )
    synapses.build({"spikes": InputSpec((size,), batch=shape[1:-1])})
    return synapses


def _run(name: str, shape: tuple[int, ...], activity: float, dtype: str) -> Program:
    """The whole sequence at once."""
    synapses, xs = built(name, shape, dtype), on_device(spikes(shape, activity))
    return lambda: synapses.scan(xs).value


def stepped(name: str, shape: tuple[int, ...], activity: float, dtype: str) -> Program:
    """One call a step within one program, as in a network with feedback."""
    return loop(built(name, shape, dtype), on_device(spikes(shape, activity)))


def hand_written(shape: tuple[int, ...], activity: float, dtype: str) -> Program:
    """A dense product and a trace per target in a plain `lax.scan`."""
    kernel = on_device(jnp.asarray(kernel_of(shape[-1]), dtype))
    xs = on_device(spikes(shape, activity))
    decay = jnp.float32(np.exp(-1 / 5.0))
    start = jnp.zeros(shape[1:], dtype)

    @jax.jit
    def run(kernel: jax.Array, start: jax.Array, xs: jax.Array) -> Any:
        def step(y: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
            s = s.astype(dtype)
            # For one vector, XLA's CPU product is fastest along the rows of a matrix.
            drive = kernel @ s if s.ndim == 1 else s @ kernel.T
            y = (decay * y + drive).astype(dtype)
            return y, y

        return jax.lax.scan(step, start, xs)

    return lambda: run(kernel, start, xs)

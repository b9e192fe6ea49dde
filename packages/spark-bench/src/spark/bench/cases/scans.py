"""Whole sequences through every tracer class, in every way to run, against a single pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ..case import Case, Counts, Program
from .tracers import KINDS, Kind, on_device, scanned, spikes

SIZES = ((1000, 10), (1000, 1000), (1000, 4000), (50, 10**6))
"""Steps and elements: a few neurons, two layers, and more than the caches hold. Before jax 0.12,
XLA splits the steps of the larger layer over threads in half precision."""

DTYPES = ("float32", "float16", "bfloat16")


def cases() -> Iterator[Case]:
    """Every class x way x size x dtype; a batch; and a single pass as the lower bound."""
    for kind in KINDS:
        for dtype in DTYPES:
            for steps, elements in SIZES:
                quick = (
                    kind.name in ("Tracer", "RUTracer") and dtype != "bfloat16" and elements == 1000
                )
                yield from _ways(kind, dtype, steps, (elements,), quick)
        yield from _ways(kind, "float32", 1000, (32, 1000), quick=False)


def _ways(
    kind: Kind, dtype: str, steps: int, shape: tuple[int, ...], quick: bool
) -> Iterator[Case]:
    elements = int(np.prod(shape))
    group = f"scan/{kind.name}/{dtype}/{steps}x{'x'.join(map(str, shape))}"
    width = jnp.dtype(dtype).itemsize
    updates = steps * elements
    counts = Counts(
        element_updates=updates,
        # Boolean input, one output a step, and the state in and out.
        bytes_moved=updates * (1 + width) + 2 * kind.state_bytes(elements, dtype),
        flop=kind.flop * updates,
    )
    sizes = {"steps": steps, "elements": elements, "batch": shape[0] if len(shape) > 1 else 1}
    programs = {
        "pass": functools.partial(_pass, dtype),
        "sequential": functools.partial(scanned, kind, dtype, "sequential"),
        "parallel": functools.partial(scanned, kind, dtype, "parallel"),
        "step": functools.partial(_steps, kind, dtype),
    }
    if kind.name == "Tracer":
        programs["hand-written"] = functools.partial(_hand_written, dtype)
    if kind.name != "SaturableDoubleTracer":
        programs["event"] = functools.partial(_jump, kind, dtype)
    for name, setup in programs.items():
        yield Case(
            f"{group}/{name}",
            functools.partial(setup, steps, shape),
            dataclasses.replace(counts, dispatches=steps) if name == "step" else counts,
            sizes,
            ("tracers", "scan", kind.name, dtype, name),
            group,
            reference=name == "pass",
            # A step at a time costs a dispatch each, which `call/` has measured already.
            quick=quick and name != "step",
        )


def _steps(kind: Kind, dtype: str, steps: int, shape: tuple[int, ...]) -> Program:
    """One call per step, as a network with feedback has to."""
    tracer, xs = kind.make(shape, dtype), spikes((steps, *shape))
    each = [on_device(x) for x in xs]

    def program() -> jax.Array:
        for x in each:
            y = tracer(x)
        return y

    return program


def _jump(kind: Kind, dtype: str, steps: int, shape: tuple[int, ...]) -> Program:
    """From event to event: values at the events alone, and the state at the end."""
    tracer = kind.make(shape, dtype)
    step, element = np.nonzero(spikes((steps, *shape)).reshape(steps, -1))
    times, elements = step + 1.0, element.astype(np.int32)
    return lambda: tracer.jump(times, elements, duration=float(steps))


def _pass(dtype: str, steps: int, shape: tuple[int, ...]) -> Program:
    """One elementwise pass with the same input and an output of the same size."""
    xs = on_device(spikes((steps, *shape)))
    decay = jnp.float32(0.9)
    elementwise = jax.jit(lambda xs: (xs.astype(jnp.float32) * decay + decay).astype(dtype))
    return lambda: elementwise(xs)


def _hand_written(dtype: str, steps: int, shape: tuple[int, ...]) -> Program:
    """A plain `lax.scan` of the exponential trace, rounded to nearest at each step."""
    xs = on_device(spikes((steps, *shape)))
    start, decay = jnp.zeros(shape, dtype), jnp.float32(0.9)

    def step(y: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = (y.astype(jnp.float32) * decay + x.astype(jnp.float32)).astype(dtype)
        return y, y

    scan = jax.jit(lambda start, xs: jax.lax.scan(step, start, xs))
    return lambda: scan(start, xs)

"""The gradient of a scan by its parameters, against the scan alone and against single steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..case import Case, Counts, Program
from .tracers import KINDS, Kind, on_device, spikes

STEPS, ELEMENTS = 2000, 512


def cases() -> Iterator[Case]:
    """Scan, gradient of the scan, and gradient of a `lax.scan` of single steps."""
    for kind in KINDS:
        updates = STEPS * ELEMENTS
        # Boolean input in; the series crosses memory once in each direction of time.
        counts = Counts(element_updates=updates, bytes_moved=5 * updates, flop=kind.flop * updates)
        group = f"gradient/{kind.name}/float32/{STEPS}x{ELEMENTS}"
        for name in ("forward", "scan", "steps"):
            yield Case(
                f"{group}/{name}",
                functools.partial(_program, kind, name),
                counts,
                {"steps": STEPS, "elements": ELEMENTS},
                ("tracers", "gradient", kind.name, "float32"),
                group,
                reference=name == "forward",
                quick=kind.name == "Tracer",
                observe=None if name == "forward" else functools.partial(_memory, kind, name),
            )


def _functions(kind: Kind) -> tuple[Any, Callable[[Any], jax.Array], Callable[[Any], jax.Array]]:
    """Parameters, and from them the series: by a scan, and by single steps."""
    xs = on_device(spikes((STEPS, ELEMENTS)))
    tracer = kind.make(ELEMENTS, "float32")
    recurrence, state = tracer.recurrence, tracer.state

    def scan(parameters: Any) -> jax.Array:
        return recurrence.scan(parameters, state, xs, "sequential")[1]

    def steps(parameters: Any) -> jax.Array:
        step = functools.partial(recurrence.step, parameters)
        return jax.lax.scan(step, state, xs)[1]

    return tracer.parameters, scan, steps


def _program(kind: Kind, name: str) -> Program:
    parameters, scan, steps = _functions(kind)
    if name == "forward":
        return functools.partial(jax.jit(scan), parameters)
    return functools.partial(_compiled_gradient(scan if name == "scan" else steps), parameters)


def _compiled_gradient(series: Callable[[Any], jax.Array]) -> Any:
    return jax.jit(jax.grad(lambda parameters: (series(parameters) ** 2).sum()))


def _memory(kind: Kind, name: str) -> dict[str, float]:
    """Residuals of the backward pass and peak memory of the gradient, relative to the outputs.

    Residuals are the floating-point numbers over time; the peak is beside inputs and outputs.
    """
    parameters, scan, steps = _functions(kind)
    series = scan if name == "scan" else steps
    ys, pullback = jax.vjp(series, parameters)
    residuals = [
        leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= STEPS and leaf.dtype != bool
    ]
    found = {"stored_over_outputs": sum(leaf.nbytes for leaf in residuals) / ys.nbytes}
    needed = _compiled_gradient(series).lower(parameters).compile().memory_analysis()
    if needed:
        found["peak_over_outputs"] = needed.temp_size_in_bytes / ys.nbytes
    return found

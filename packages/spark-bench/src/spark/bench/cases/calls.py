"""Eager calls of a tracer against one dispatch of the same compiled update; and first calls."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from ..case import Case, Counts, Program
from .tracers import KINDS, Kind, on_device

ELEMENTS = 1000


def cases() -> Iterator[Case]:
    """A call of every class in half and single precision, and its first call."""
    for kind in KINDS:
        for dtype in ("float16", "float32"):
            quick = kind.name in ("Tracer", "RUTracer")
            group = f"call/{kind.name}/{dtype}/{ELEMENTS}"
            counts = _counts(kind, dtype)
            sizes = {"elements": ELEMENTS, "steps": 1}
            tags = ("tracers", "call", kind.name, dtype)
            for name, setup in (("dispatch", _dispatch), ("module", _module)):
                yield Case(
                    f"{group}/{name}",
                    functools.partial(setup, kind, dtype),
                    counts,
                    sizes,
                    tags,
                    group,
                    reference=name == "dispatch",
                    quick=quick,
                )
        yield Case(
            f"first-call/{kind.name}/float32/{ELEMENTS}",
            functools.partial(_module, kind, "float32"),
            sizes=sizes,
            tags=("tracers", "compile", kind.name, "float32"),
            fresh=True,
            quick=kind.name == "Tracer",
        )


def _counts(kind: Kind, dtype: str) -> Counts:
    state = kind.state_bytes(ELEMENTS, dtype)
    output = ELEMENTS * jnp.dtype(dtype).itemsize
    return Counts(
        element_updates=ELEMENTS,
        bytes_moved=2 * state + output + 4 * ELEMENTS,
        flop=kind.flop * ELEMENTS,
    )


def _module(kind: Kind, dtype: str) -> Program:
    tracer, x = kind.make(ELEMENTS, dtype), on_device(jnp.ones(ELEMENTS))
    return lambda: tracer(x)


def _dispatch(kind: Kind, dtype: str) -> Program:
    tracer, x = kind.make(ELEMENTS, dtype), on_device(jnp.ones(ELEMENTS))
    update = jax.jit(tracer.recurrence.step)
    parameters, state = tracer.parameters, tracer.state
    return lambda: update(parameters, state, x)

"""Tolerances of tests: how closely results agree, by comparison, backend and dtype.

Tests of ways, dtypes, layouts and devices compare by it and the site prints it, so that neither
says more than the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

ByDtype: TypeAlias = Mapping[str, float]
"""A bound for each dtype; of one that is absent, nothing is promised."""

RUN_ON = ("cpu", "gpu")
"""Backends that the tests have passed on with these bounds; those of others would be expected.

The GPU was an NVIDIA H100 80GB HBM3, alone, with jax 0.11.2 (2026-11-27): what several GPUs compute
has not been compared.
"""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """How far apart two results may be on one backend.

    Attributes:
        by_dtype: Bounds, relative to the quantity that an agreement names.
        why: Where they come from.
    """

    by_dtype: ByDtype
    why: str


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Two results that are the same but for rounding.

    Attributes:
        compared: The two results.
        relative_to: The quantity that the bounds are relative to.
        cpu: Bounds on a CPU.
        gpu: Bounds on an NVIDIA GPU.
    """

    compared: str
    relative_to: str
    cpu: Bounds
    gpu: Bounds


def tolerance(name: str, dtype: Any, backend: str | None = None) -> float:
    """How far apart two results may be.

    Args:
        name: A key of `AGREEMENTS`.
        dtype: Dtype of the results.
        backend: `"cpu"` or `"gpu"`; None takes the one that JAX takes.
    """
    bounds: Bounds = getattr(AGREEMENTS[name], backend or jax.default_backend())
    return bounds.by_dtype[jnp.dtype(dtype).name]


def _spacings(wide: float, half: float | None = None) -> ByDtype:
    """Multiples of the spacing at 1: of a compute dtype, and of half precision in storage."""
    found = {dtype: wide * float(jnp.finfo(dtype).eps) for dtype in ("float64", "float32")}
    if half is not None:
        found |= {dtype: half * float(jnp.finfo(dtype).eps) for dtype in ("float16", "bfloat16")}
    return found


_PER_TERM = _spacings(0.5)
_EXPONENTIALS = "exponentials off by a spacing more"
_LAW = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}

AGREEMENTS: Mapping[str, Agreement] = {
    "steps": Agreement(
        '`scan` step by step (`"sequential"`), and one call a step',
        "each value, and 1",
        cpu=Bounds(
            _spacings(16, 2),
            "XLA may round a product and a sum once in one program and twice in the other; one in "
            "thousands of halves is then rounded the other way",
        ),
        gpu=Bounds(_spacings(16, 2), "the same, with more of them rounded once"),
    ),
    "parallel": Agreement(
        "`scan` in parallel, and step by step",
        "traces of size 1",
        cpu=Bounds(
            _spacings(16, 4), "some roundings a step; a half is rounded at each step, or once"
        ),
        gpu=Bounds(_spacings(32, 4), _EXPONENTIALS),
    ),
    "jump": Agreement(
        "`jump`, and `scan`",
        "traces of size 1",
        cpu=Bounds(
            _spacings(40, 4), "one exponential for a gap, against as many rounded steps, some tens"
        ),
        gpu=Bounds(_spacings(80, 4), _EXPONENTIALS),
    ),
    "solution": Agreement(
        "A trace, and the solution of its equation",
        "the largest value",
        cpu=Bounds(_spacings(25), "half a spacing a step, over the memory of a trace of 50 steps"),
        gpu=Bounds(_spacings(50), f"{_EXPONENTIALS}, at each step"),
    ),
    "mean": Agreement(
        "The mean of a trace over time and 256 elements, and that of the solution",
        "the mean",
        cpu=Bounds(_LAW, "rounding without bias; the law holds up to a memory of 20 000 steps"),
        gpu=Bounds(_LAW, "the random bits are the same on every backend"),
    ),
    "sum": Agreement(
        "Spikes times a kernel, and the same in float64",
        "the absolute terms, summed up, for each term",
        cpu=Bounds(_PER_TERM, "one rounding a term, in whatever order"),
        gpu=Bounds(
            _PER_TERM, "the same: products ask for the highest precision, so that TF32 is off"
        ),
    ),
    "currents": Agreement(
        "Currents in every layout of traces, and one filter for each synapse",
        "each current, and 1",
        cpu=Bounds(_spacings(64), "sums of a few terms, and traces that remember some ten steps"),
        gpu=Bounds(_spacings(128), f"{_EXPONENTIALS}, at each step"),
    ),
    "devices": Agreement(
        "Cut over devices by targets or batch, and whole; weights are added up row by row",
        "the largest current",
        cpu=Bounds(
            _spacings(0, 0),
            "each sum is one device's, in the same order; traces too, where each device has a "
            "multiple of 32: XLA may round a product and a sum once in some others, and else twice",
        ),
        gpu=Bounds(
            _spacings(4, 4),
            "expected, not run on several GPUs: a program of another width may round otherwise",
        ),
    ),
    "crossing": Agreement(
        "The same where sums cross devices, by products, or of several traces of a target",
        "the largest current",
        cpu=Bounds(_spacings(4, 4), "some tens of terms in another order"),
        gpu=Bounds(_spacings(4, 4), "the same, and not run on several GPUs either"),
    ),
    "gradient": Agreement(
        "Gradients of one way, layout or number of devices, and of another",
        "the largest derivative",
        cpu=Bounds(_spacings(100, 4), "some tens of roundings on the way there, and back"),
        gpu=Bounds(_spacings(200, 4), _EXPONENTIALS),
    ),
}
"""All tolerances, by name."""

"""The facts: inputs, parameters, and expected outputs, from the references in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from . import references
from .references import Series, largest_error

Compute: TypeAlias = Callable[[str, Mapping[str, Series], Mapping[str, Any]], Series]
"""An implementation: from kind of work, inputs and parameters to values after every step."""

SINGLE = 1e-5
"""Tolerance of single precision, relative to the largest value: some 100 roundings of 6e-8."""

RATIOS = (1.0, 20.0, 100.0, 1000.0, 5000.0, 20_000.0)
"""Time constants over dt at which the mean trace is checked."""

HALF_LAW = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
"""Largest error of the mean trace, per storage dtype."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """A fact that follows from the equations.

    Attributes:
        name: Name of the fact.
        kind: Kind of work that it checks.
        tolerance: Largest error, relative to the largest value expected.
        errors: From an implementation to its errors, at one setting or more.
    """

    name: str
    kind: str
    tolerance: float
    errors: Callable[[Compute], Iterator[float]]


def facts() -> list[Fact]:
    """All facts, in the order in which they are listed."""
    found = [
        _same("single impulse", "exponential", _impulse(60), {"tau": 10.0}),
        _same("paired pulse", "exponential", _pulses(60, 0, 7), {"tau": 10.0}),
        _same("starts again from rest", "exponential", _pulses(30, 0, 29), {"tau": 500.0}),
        _refined("independent of dt", "exponential", {"tau": 10.0}),
        *[_law(dtype) for dtype in HALF_LAW],
        _same("saturation", "saturable", _pulses(60, 0, 1, 5, 40), {"tau": 10.0}),
        _same("single impulse, dual", "double", _impulse(200), {"tau_1": 3.0, "tau_2": 20.0}),
        _same("equal time constants", "double", _impulse(200), {"tau_1": 8.0, "tau_2": 8.0}),
        _same("nearly equal", "double", _impulse(200), {"tau_1": 8.0, "tau_2": 8.00001}),
        _refined("independent of dt, dual", "double", {"tau_1": 3.0, "tau_2": 20.0}),
        _same("first spike after rest", "plasticity", _pulses(2000, 0, 1999), _SHORT),
        _many("paired pulse, plasticity", "plasticity", _pairs, _MIXED),
        _same("recovery from depression", "plasticity", _recovery(), _SHORT),
        _many("steady state over rates", "plasticity", _rates, _MIXED),
        _refined("independent of dt, plasticity", "plasticity", _MIXED),
        Fact("trace of a product", "current", SINGLE, _current),
        Fact("sparse connections", "sparse", SINGLE, _sparse),
        Fact("delays of connections", "delayed", SINGLE, _delayed),
        Fact("plasticity through a kernel", "plastic", SINGLE, _plastic),
    ]
    return found


_MIXED = {"R_tau": 200.0, "U_tau": 80.0, "scale_U": 0.3}
_SHORT = {"R_tau": 300.0, "U_tau": 10.0, "scale_U": 0.5}
_STEPS = {"tau": 5.0, "dt": 1.0, "dtype": "float32", "keep": "every"}
_REFERENCES: Mapping[str, Callable[..., Series]] = {
    "exponential": references.exponential,
    "saturable": references.saturable,
    "double": references.double,
    "plasticity": references.plasticity,
}


def _pulses(steps: int, *at: int) -> Series:
    xs = np.zeros((steps, 1), bool)
    xs[list(at)] = True
    return xs


def _impulse(steps: int) -> Series:
    return _pulses(steps, 0)


def _run(
    compute: Compute,
    kind: str,
    xs: Series,
    parameters: Mapping[str, float],
    dt: float = 1.0,
    dtype: str = "float32",
) -> Series:
    return compute(kind, {"xs": xs}, {**parameters, "dt": dt, "dtype": dtype, "keep": "every"})


def _same(name: str, kind: str, xs: Series, parameters: Mapping[str, float]) -> Fact:
    """Values after every step equal the reference."""
    return _many(name, kind, lambda: iter([xs]), parameters)


def _many(
    name: str, kind: str, inputs: Callable[[], Iterator[Series]], parameters: Mapping[str, float]
) -> Fact:
    """The same, for several inputs."""

    def errors(compute: Compute) -> Iterator[float]:
        for xs in inputs():
            yield largest_error(
                _run(compute, kind, xs, parameters), _REFERENCES[kind](xs, **parameters)
            )

    return Fact(name, kind, SINGLE, errors)


def _refined(name: str, kind: str, parameters: Mapping[str, float]) -> Fact:
    """Half the step, with empty steps between: the same values at the shared times."""

    def errors(compute: Compute) -> Iterator[float]:
        xs = _pulses(60, 0, 7, 8, 30)
        fine = np.zeros((120, 1), bool)
        # An input arrives at the end of its step.
        fine[1::2] = xs
        coarse = _run(compute, kind, xs, parameters)
        halved = _run(compute, kind, fine, parameters, dt=0.5)
        yield largest_error(halved[1::2], coarse)

    return Fact(name, kind, SINGLE, errors)


def _law(dtype: str) -> Fact:
    """The mean trace over time and elements, at time constants up to 20 000 steps."""

    def errors(compute: Compute) -> Iterator[float]:
        xs = np.random.default_rng(0).random((10_000, 256)) < 0.02
        for tau in RATIOS:
            expected = references.exponential(xs, tau).mean()
            found = _run(compute, "exponential", xs, {"tau": tau}, dtype=dtype).mean()
            yield largest_error(np.asarray(found), np.asarray(expected))

    return Fact(f"tau/dt 1 to 20 000, {dtype}", "exponential", HALF_LAW[dtype], errors)


def _pairs() -> Iterator[Series]:
    """Two spikes at several intervals, each from rest: one element per interval."""
    intervals = (1, 10, 50, 200, 500)
    xs = np.zeros((502, len(intervals)), bool)
    xs[0] = True
    xs[intervals, range(len(intervals))] = True
    yield xs


def _recovery() -> Series:
    """Ten spikes at 50 Hz, then one after a wait: one element per wait."""
    waits = (20, 100, 300, 1000)
    xs = np.zeros((1200, len(waits)), bool)
    xs[:200:20] = True
    xs[[180 + wait for wait in waits], range(len(waits))] = True
    return xs


def _rates() -> Iterator[Series]:
    """Regular trains of 5 to 100 Hz for two seconds: one element per rate."""
    intervals = (200, 100, 50, 20, 10)
    xs = np.zeros((2000, len(intervals)), bool)
    for element, interval in enumerate(intervals):
        xs[::interval, element] = True
    yield xs


def _current(compute: Compute) -> Iterator[float]:
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((20, 30)).astype(np.float32)
    spikes = rng.random((200, 30)) < 0.1
    found = compute("current", {"spikes": spikes, "kernel": kernel}, _STEPS)
    yield largest_error(found, references.current(spikes, kernel, 5.0))


def _sparse(compute: Compute) -> Iterator[float]:
    """Rows of one length; then of several lengths, with an empty row and a double connection."""
    rng = np.random.default_rng(1)
    spikes = rng.random((200, 30)) < 0.1
    even = np.repeat(np.arange(30), 4)
    uneven = np.sort(rng.integers(1, 30, 100))
    uneven[-2:] = uneven[-1]
    parameters = {**_STEPS, "targets": 20}
    for pre in (even, uneven):
        post = rng.integers(0, 20, len(pre))
        post[-2:] = post[-1]
        weights = rng.standard_normal(len(pre)).astype(np.float32)
        pre, post = pre.astype(np.int32), post.astype(np.int32)
        inputs = {"spikes": spikes, "pre": pre, "post": post, "weights": weights}
        found = compute("sparse", inputs, parameters)
        yield largest_error(
            found, references.sparse(spikes, pre, post, weights, targets=20, tau=5.0)
        )


def _delayed(compute: Compute) -> Iterator[float]:
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal((20, 30)).astype(np.float32)
    delays = rng.integers(0, 12, (20, 30)).astype(np.float32)
    spikes = rng.random((200, 30)) < 0.1
    inputs = {"spikes": spikes, "kernel": kernel, "delays": delays}
    found = compute("delayed", inputs, _STEPS)
    yield largest_error(found, references.delayed(spikes, kernel, delays, 5.0))


def _plastic(compute: Compute) -> Iterator[float]:
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal((20, 30)).astype(np.float32)
    spikes = rng.random((500, 30)) < 0.05
    parameters = {**_MIXED, **_STEPS}
    found = compute("plastic", {"spikes": spikes, "kernel": kernel}, parameters)
    yield largest_error(found, references.plastic(spikes, kernel, **_MIXED, tau=5.0))

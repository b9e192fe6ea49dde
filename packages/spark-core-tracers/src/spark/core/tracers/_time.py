"""Lengths of time and steps: the only place where a time becomes a step."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._arguments import as_number, as_row

CLOSED = ("right", "left")
"""Which end of a step may belong to it."""


def exact_number(value: Any) -> float:
    """A number as a float64; of a narrower float dtype, the shortest decimal that rounds to it.

    So `np.float32(0.1)` means 0.1 and not 0.10000000149.
    """
    number, dtype = float(value), np.asarray(value).dtype
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 8:
        with np.errstate(over="ignore"):
            for digits in range(1, 10):  # 9 digits tell any two float32 numbers apart
                decimal = float(f"{number:.{digits}g}")
                if np.float64(decimal).astype(dtype) == number:
                    return decimal
    return number


def as_exact(name: str, value: Any) -> float:
    """A concrete number, as `exact_number`.

    Raises:
        TypeError: If it is anything else.
    """
    as_number(name, value)
    return exact_number(value)


def as_length(name: str, value: Any) -> float:
    """A length of time; one of a narrow float dtype counts as its shortest decimal.

    Raises:
        TypeError: If it is not a concrete number.
        ValueError: If it is not finite and positive.
    """
    length = as_exact(name, value)
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"{name} must be finite and > 0, got {value!r}.")
    return length


def as_dt(dt: Any) -> float:
    """A time step, as `as_length`.

    Raises:
        TypeError: If it is not a concrete number.
        ValueError: If it is not finite and positive.
    """
    if isinstance(dt, jax.core.Tracer):
        raise TypeError(
            "dt must be a concrete number, got a value traced by a JAX transform; vary the "
            "time constants instead: only dt/tau matters."
        )
    return as_length("dt", dt)


def as_tolerance(value: Any) -> float:
    """The part of a time step by which a time may miss a multiple of it.

    Raises:
        TypeError: If it is not a concrete number.
        ValueError: If it does not lie in [0, 0.5).
    """
    tolerance = as_exact("tolerance", value)
    if not 0 <= tolerance < 0.5:
        raise ValueError(f"tolerance must lie in [0, 0.5), as a fraction of dt, got {value!r}.")
    return tolerance


def as_event_steps(
    times: Any, duration: Any, dt: float, tolerance: Any = 0.0
) -> tuple[Array, Array]:
    """Steps that event times fall in, and the number of steps in a duration.

    `(t, t + dt]` is a step, so that a time falls in `ceil(time/dt) - 1`; see `steps_at`.

    Raises:
        TypeError: If an argument is no array of real numbers.
        ValueError: If times are not in one row, do not ascend or lie outside `(0, duration]`, the
            duration has 2^31 steps and more, or the tolerance is not in [0, 0.5).
    """
    row = as_row("times", times, "; under one, use the tracer's recurrence.jump")
    end, tolerance = as_length("duration", duration), as_tolerance(tolerance)
    count = count_steps(duration, dt, tolerance)
    if count >= 2**31:
        raise ValueError(f"duration must be less than 2^31 steps of {dt:g}, got {duration!r}.")
    steps = steps_at(row, dt, tolerance)
    outside = ~((row > 0) & (steps < count))
    if outside.any():
        raise ValueError(f"times must lie in (0, duration] = (0, {end:g}], got {row[outside][0]}.")
    falls = row[1:] < row[:-1]  # a difference of unsigned integers would wrap
    if falls.any():
        at = int(np.argmax(falls))
        raise ValueError(f"times must ascend, got {row[at]} before {row[at + 1]}; sort them.")
    return jnp.asarray(steps.astype(np.int32)), jnp.asarray(np.int32(count))


@np.errstate(over="ignore", invalid="ignore")  # of infinite times
def steps_at(
    times: np.ndarray[Any, Any], dt: Any, tolerance: float = 0.0, closed: str = "right"
) -> np.ndarray[Any, Any]:
    """The step that each time >= 0 falls in, from 0; as float64, NaN for NaN.

    A time that differs from a multiple of `dt` by no more than it may owe to rounding, in its own
    dtype and in that of `dt`, or than `tolerance * dt`, counts as that multiple.
    """
    digits, dt = epsilon(np.asarray(dt).dtype) / 2, exact_number(dt)
    position = times.astype(np.float64) / dt
    slack = tolerance + digits * np.abs(position)
    if jnp.issubdtype(times.dtype, jnp.floating):
        # A multiple of dt is a product, rounded; and of a dt that the dtype may not hold.
        slack += np.spacing(np.abs(times)).astype(np.float64) / 2 / dt
        if float(np.float64(dt).astype(times.dtype)) != dt:
            slack += epsilon(times.dtype) / 2 * np.abs(position)
    return np.maximum(step_of(snapped(position, slack), closed), 0)


def count_steps(length: Any, dt: Any, tolerance: float = 0.0) -> float:
    """Number of steps in a length of time, the last one perhaps in part; may be infinite."""
    given = np.asarray(length).dtype
    end = np.array([float(length)], given if jnp.issubdtype(given, jnp.floating) else np.float64)
    return float(steps_at(end, dt, tolerance)[0]) + 1


@np.errstate(invalid="ignore")  # of infinite times
def snapped(position: np.ndarray[Any, Any], slack: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Times in steps; one within `slack` of a whole number, as that number."""
    nearest = np.round(position)
    # Four operations in float64, on time and dt.
    slack = slack + 4 * np.spacing(np.maximum(np.abs(nearest), 1))
    return np.where(np.abs(position - nearest) <= slack, nearest, position)


def step_of(position: np.ndarray[Any, Any], closed: str) -> np.ndarray[Any, Any]:
    """The step that a time, in steps, falls in: `(t, t + dt]`, or `[t, t + dt)` if closed left."""
    return np.floor(position) if closed == "left" else np.ceil(position) - 1


def epsilon(dtype: Any) -> float:
    """Spacing at 1 of numbers of a dtype, once they are computed with in float64."""
    own = float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
    return max(own, float(np.finfo(np.float64).eps))

"""Types of fields that configurations share, and their checks.

Each function returns the value to keep, or raises a `ValueError` that says how the value must be;
`Config` puts the name of the field before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from pydantic import PlainValidator

from spark.core import internal
from spark.core.internal import show

from .arrays import read_only

T = TypeVar("T")


def _shared(check: Callable[..., T], value: Any, *options: Any) -> T:
    """A check of `spark.core`, with no name in its message."""
    try:
        return check("", value, *options)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error).lstrip()) from None


def as_units(value: Any) -> tuple[int, ...]:
    """A shape with at least one axis, and at least one unit along each."""
    try:
        sizes = internal.as_shape(value)
    except (TypeError, ValueError):
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"must be a positive integer or a non-empty tuple of them, got {show(value)}."
        )
    return sizes


def as_parameter(value: Any) -> float | np.ndarray[Any, Any]:
    """A finite number, or an array of them; an array without axes becomes a float."""
    return _reals(value, (np.isfinite, "be finite"))


def as_time_constant(value: Any) -> float | np.ndarray[Any, Any]:
    """A positive number, or an array of them; how long it may be depends on other fields."""
    return _reals(value, (lambda tau: ~np.isnan(tau), "be finite"), (lambda t: t > 0, "be > 0"))


def as_portion(value: Any) -> float | np.ndarray[Any, Any]:
    """A parameter in [0, 1]."""
    return _reals(
        value,
        (np.isfinite, "be finite"),
        (lambda p: (p >= 0) & (p <= 1), "lie in [0, 1]"),
    )


def as_delay_times(value: Any) -> float | np.ndarray[Any, Any] | None:
    """A finite number or an array of them, or None; `as_steps` holds them against the time step.

    A number of a narrow dtype stays an array: which multiples of the time step it may stand for
    depends on its digits.
    """
    if value is None:
        return None
    delays, given = as_parameter(value), np.asarray(value)
    is_narrow = jnp.issubdtype(given.dtype, jnp.floating) and given.dtype.itemsize < 8
    return read_only(given) if is_narrow else delays


def as_time_step(value: Any) -> float:
    """A finite positive number."""
    if isinstance(_reals(value), np.ndarray):
        raise ValueError(f"must be a finite number > 0, got {show(value)}.")
    return _shared(internal.as_length, value)


def as_flag(value: Any) -> bool:
    """A boolean of Python, NumPy or JAX."""
    return _shared(internal.as_flag, value)


def as_count(value: Any) -> int:
    """An integer > 0."""
    return _shared(internal.as_integer, value, 1)


def as_indices(value: Any) -> np.ndarray[Any, Any]:
    """A sequence of integers >= 0."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.ndim == 1 and array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"must be a sequence of integers >= 0, got {show(value)}.")
    if array.size and array.max() >= 2**63:
        array = array.astype(np.int64)
    if array.size and array.min() < 0:  # or too large
        raise ValueError(f"must be integers >= 0, got {array.min()} at index {array.argmin()}.")
    # One dtype whatever they came in, so that equal ones are equal.
    large = array.size and array.max() >= 2**31
    return read_only(array.astype(np.int64 if large else np.int32, copy=False))


def as_numbers(value: Any) -> np.ndarray[Any, Any]:
    """A sequence of finite numbers."""
    return read_only(np.atleast_1d(as_parameter(value)))


def as_probability(value: Any) -> float:
    """A number in (0, 1]."""
    number = as_parameter(value)
    if isinstance(number, np.ndarray) or not 0 < number <= 1:
        raise ValueError(f"must lie in (0, 1], got {show(value)}.")
    return number


def as_dtype_name(value: Any) -> str:
    """The name of one of the four floating dtypes."""
    return _shared(internal.as_dtype_name, value)


def as_seed(value: Any) -> int | None:
    """An integer of 64 bits, or None."""
    if internal.is_key(value):
        raise ValueError(
            "must be an integer or None, got a JAX PRNG key: a configuration is written to files "
            "and compared by content; give keys to the module, as rngs."
        )
    return _shared(internal.as_seed, value)


def as_names(value: Any) -> tuple[str, ...]:
    """One or several names."""
    return _shared(internal.as_names, value)


Units = Annotated[tuple[int, ...], PlainValidator(as_units)]
"""Shape of a population; an integer stands for one axis."""

Parameter = Annotated[float | np.ndarray[Any, Any] | jax.Array, PlainValidator(as_parameter)]
"""A finite number or array; kept as a float or a read-only NumPy array."""

TimeConstant = Annotated[float | np.ndarray[Any, Any] | jax.Array, PlainValidator(as_time_constant)]
"""A `Parameter` > 0, in the unit of the time step."""

DelayTimes = Annotated[
    float | np.ndarray[Any, Any] | jax.Array | None, PlainValidator(as_delay_times)
]
"""A `Parameter` in the unit of the time step, 0 or more but for rounding; or None."""

Portion = Annotated[float | np.ndarray[Any, Any] | jax.Array, PlainValidator(as_portion)]
"""A `Parameter` in [0, 1]."""

Probability = Annotated[float, PlainValidator(as_probability)]
"""A number in (0, 1]."""

Flag = Annotated[bool, PlainValidator(as_flag)]
"""A boolean, of NumPy or JAX too; kept as one of Python."""

Count = Annotated[int, PlainValidator(as_count)]
"""An integer > 0."""

Indices = Annotated[np.ndarray[Any, Any], PlainValidator(as_indices)]
"""A sequence of integers >= 0; kept as a read-only NumPy array."""

Numbers = Annotated[np.ndarray[Any, Any], PlainValidator(as_numbers)]
"""A sequence of finite numbers; kept as a read-only NumPy array."""

TimeStep = Annotated[float, PlainValidator(as_time_step)]
"""A finite number > 0, in the unit of the time constants."""

Dtype = Annotated[DTypeLike, PlainValidator(as_dtype_name)]
"""Anything that `jnp.dtype` takes for one of four floating dtypes; kept as its name."""

Seed = Annotated[int | None, PlainValidator(as_seed)]
"""An integer, or None; a JAX PRNG key belongs in a module, not in a configuration."""

Names = Annotated[tuple[str, ...], PlainValidator(as_names)]
"""One or several names; kept as a tuple."""


def _reals(value: Any, *rules: tuple[Callable[[Any], Any], str]) -> float | np.ndarray[Any, Any]:
    """A number as a float, or an array of them, whose values obey rules."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a number or an array of numbers, got {show(value)}.") from None
    if not internal.is_real(given.dtype, boolean=False):
        raise ValueError(
            f"must be a number or an array of numbers, got {show(value)} of dtype {given.dtype}."
        )
    array = given if jnp.issubdtype(given.dtype, jnp.floating) else given.astype(np.float64)
    for holds, rule in rules:
        _shared(internal.require_values, array, holds, rule, given)
    return read_only(array) if array.ndim else float(array)

"""What constructors and calls accept, and what they say of the rest."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .rounding import STORAGE_DTYPES, arithmetic_dtype


@functools.cache
def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.bool_) or (
        jnp.issubdtype(dtype, jnp.number) and not jnp.issubdtype(dtype, jnp.complexfloating)
    )


def real_array(name: str, value: Any) -> Array:
    """`value` as an array of booleans, integers or floats.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(value, (jax.Array, np.ndarray)):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise TypeError(f"{name} must be an array of numbers, got {value!r}.") from error
    if not _is_real(value.dtype):
        raise TypeError(
            f"{name} must be boolean, integer or floating, got dtype {value.dtype}; convert it."
        )
    return value


def fit(name: str, value: Array, shape: tuple[int, ...]) -> Array:
    """`value` with leading axes of size 1 up to the rank of `shape`; a scalar stays a scalar.

    Raises:
        ValueError: If it does not broadcast to `shape`.
    """
    trailing = shape[len(shape) - value.ndim :] if value.ndim <= len(shape) else None
    if trailing is None or any(
        n not in (1, size) for n, size in zip(value.shape, trailing, strict=True)
    ):
        raise ValueError(
            f"{name} of shape {value.shape} does not broadcast to shape {shape}; "
            "each trailing axis must have the same size or size 1."
        )
    if value.ndim in (0, len(shape)):
        return value
    return jnp.expand_dims(value, tuple(range(len(shape) - value.ndim)))


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A shape as a tuple of sizes; an integer stands for one axis.

    Raises:
        TypeError: If it is not one or several integers.
        ValueError: If a size is negative.
    """
    try:
        each = shape if isinstance(shape, Sequence) else (shape,)
        sizes = tuple(operator.index(size) for size in each)
    except TypeError:
        raise TypeError(
            f"shape must be an integer or a sequence of integers, got {shape!r}."
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape must have no negative size, got {shape!r}.")
    return sizes


def as_storage_dtype(dtype: Any) -> jnp.dtype:
    """A dtype that a state can have.

    Raises:
        TypeError: If it is not one of the four floating dtypes.
        ValueError: If it is float64 and 64-bit types are not enabled in JAX.
    """
    try:
        storage = jnp.dtype(dtype).name
    except TypeError:
        storage = None
    if storage not in STORAGE_DTYPES:
        raise TypeError(f"dtype must be one of {', '.join(STORAGE_DTYPES)}, got {dtype!r}.")
    storage = jnp.dtype(storage)
    if jax.dtypes.canonicalize_dtype(storage) != storage:
        raise ValueError(
            "dtype float64 needs 64-bit types in JAX: call "
            "jax.config.update('jax_enable_x64', True) before anything else, or choose float32."
        )
    return storage


def as_dt(dt: Any) -> float:
    """A time step.

    Raises:
        TypeError: If it is not a concrete number.
        ValueError: If it is not finite and positive.
    """
    if isinstance(dt, jax.core.Tracer):
        raise TypeError(
            "dt must be a concrete number, got a value traced by a JAX transform; vary the time "
            "constants instead: only dt/tau matters."
        )
    try:
        step = float(dt)
    except (TypeError, ValueError):
        raise TypeError(f"dt must be a number, got {dt!r}.") from None
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"dt must be finite and > 0, got {dt!r}.")
    return step


def as_key(seed: Any) -> int | Array:
    """A seed for a random stream; None stands for 0.

    Raises:
        TypeError: If it is neither an integer nor a JAX PRNG key.
    """
    if seed is None:
        return 0
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    try:
        return operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be an integer or a JAX PRNG key, got {seed!r}.") from None


def as_bounds(minimum: Any, maximum: Any) -> tuple[float, float]:
    """The range of a saturating trace.

    Raises:
        TypeError: If a bound is not a number.
        ValueError: If a bound is not finite, or the range is empty.
    """
    bounds = []
    for name, bound in (("minimum", minimum), ("maximum", maximum)):
        try:
            bounds.append(float(bound))
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a number, got {bound!r}.") from None
        if not math.isfinite(bounds[-1]):
            raise ValueError(f"{name} must be finite, got {bound!r}; Tracer has no bounds.")
    if bounds[0] >= bounds[1]:
        raise ValueError(f"minimum must be below maximum, got {minimum!r} and {maximum!r}.")
    return bounds[0], bounds[1]


def one_of(name: str, value: Any, options: Sequence[str]) -> Any:
    """`value`, if it is one of the options.

    Raises:
        ValueError: If it is not.
    """
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")
    return value


def as_parameter(name: str, value: Any, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """A parameter in the arithmetic dtype that belongs to a state of `shape` and `dtype`.

    Raises:
        TypeError: If it is not an array of real numbers.
        ValueError: If it does not broadcast to `shape`, or has a NaN or infinite value.
    """
    array = real_array(name, value)
    fit(name, array, shape)
    parameter = jnp.asarray(array, arithmetic_dtype(dtype))
    require(name, parameter, np.isfinite, "be finite")
    return parameter


def require(name: str, value: Array, holds: Any, what: str) -> None:
    """Refuse a parameter by its values; a value traced by a JAX transform is taken as it is.

    Args:
        name: Name of the argument.
        value: Its value.
        holds: Function from a NumPy array to booleans, true where a value is right.
        what: Ends the sentence "name must ...".

    Raises:
        ValueError: If `holds` is false for a value; the message names the first.
    """
    if isinstance(value, jax.core.Tracer):
        return
    concrete = np.asarray(value)
    wrong = ~np.broadcast_to(holds(concrete), concrete.shape)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = f" at index {where}" if where else ""
        raise ValueError(f"{name} must {what}, got {concrete[where]}{at}.")

"""Checks of arguments; an error names the argument, its value and the remedy."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array


@functools.cache
def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.bool_) or (
        jnp.issubdtype(dtype, jnp.number)
        and not jnp.issubdtype(dtype, jnp.complexfloating)
        and dtype.itemsize <= 8
    )


def own(value: Any) -> Any:
    """A tree with its NumPy arrays copied.

    JAX reads a NumPy buffer after the call has returned, when its owner may have filled it anew;
    `jnp.array(value, copy=True)` reads it as late.
    """
    return jax.tree.map(lambda x: np.array(x) if isinstance(x, np.ndarray) else x, value)


def real_array(name: str, value: Any) -> Any:
    """`value` as a JAX array, or a NumPy array of its own, of booleans, integers or floats.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(value, nnx.Variable):
        value = value.get_value()
    if not isinstance(value, jax.Array):
        try:
            value = np.array(value)
        except jax.errors.TracerArrayConversionError:
            value = jnp.asarray(value)
        except ValueError as error:
            raise TypeError(f"{name} must be an array of numbers, got {value!r}.") from error
    if not _is_real(value.dtype):
        raise TypeError(
            f"{name} must be boolean, integer or floating, got dtype {value.dtype}; convert it."
        )
    return value


def as_input(name: str, value: Any) -> Array:
    """An input as an array of booleans, integers or floats that JAX takes without wrapping.

    Raises:
        TypeError: If it is anything else.
    """
    array = real_array(name, value)
    if array.dtype.itemsize < 8 or jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype:
        return array
    # A 64-bit number that 32 bits cannot hold saturates, where JAX would wrap it.
    largest = np.finfo(np.float32).max
    bounded = np.clip(array.astype(np.float64), -largest, largest)
    return np.where(np.isinf(array), array, bounded).astype(np.float32)


def require_fit(name: str, given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse a shape that does not broadcast to `shape`.

    Raises:
        ValueError: If it does not.
    """
    trailing = shape[max(0, len(shape) - len(given)) :]
    if len(given) > len(shape) or any(
        n not in (1, size) for n, size in zip(given, trailing, strict=True)
    ):
        raise ValueError(
            f"{name} of shape {given} does not broadcast to shape {shape}; "
            "each trailing axis must have the same size or size 1."
        )


def fit(name: str, value: Array, shape: tuple[int, ...]) -> Array:
    """`value` with leading axes of size 1 up to the rank of `shape`; a scalar stays a scalar.

    Raises:
        ValueError: If it does not broadcast to `shape`.
    """
    require_fit(name, value.shape, shape)
    if value.ndim in (0, len(shape)):
        return value
    return jnp.expand_dims(value, tuple(range(len(shape) - value.ndim)))


def as_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """A shape as a tuple of sizes; an integer stands for one axis.

    Raises:
        TypeError: If it is not one or several integers; those of NumPy and JAX, arrays too, are.
        ValueError: If a size is negative.
    """
    try:
        each = shape if isinstance(shape, Sequence) or np.ndim(shape) == 1 else (shape,)
        if any(isinstance(size, (bool, np.bool_)) for size in each):
            raise TypeError
        sizes = tuple(operator.index(size) for size in each)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer or a sequence of integers, got {shape!r}."
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"{name} must have no negative size, got {shape!r}.")
    return sizes


def as_flag(name: str, value: Any) -> bool:
    """A concrete boolean of Python, NumPy or JAX.

    Raises:
        TypeError: If it is anything else.
    """
    is_array = isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, jax.core.Tracer)
    if isinstance(value, (bool, np.bool_)) or (is_array and value.dtype == bool and not value.ndim):
        return bool(value)
    raise TypeError(f"{name} must be a boolean, got {value!r}.")


def as_number(name: str, value: Any) -> float:
    """A concrete number.

    Raises:
        TypeError: If `value` is not a number.
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}.") from None


def as_key(seed: Any) -> Array:
    """The key of a random stream; None stands for the seed 0.

    Raises:
        TypeError: If it is neither an integer nor a JAX PRNG key.
        ValueError: If it does not fit in 64 bits.
    """
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        if seed.shape:
            raise ValueError(f"seed must be one key, got keys of shape {seed.shape}.")
        return seed
    try:
        number = 0 if seed is None else operator.index(seed)
    except TypeError:
        raise TypeError(
            f"seed must be an integer or a JAX PRNG key, as of jax.random.key, got {seed!r}."
        ) from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"seed must fit in 64 bits with a sign, got {number}.")
    # Without 64-bit numbers JAX would take the lower half alone.
    high, low = divmod(number, 2**32)
    key = jax.random.key(np.uint32(low))
    return jax.random.fold_in(key, np.uint32(high % 2**32)) if high else key


def as_names(name: str, value: Any, options: Sequence[str]) -> tuple[str, ...]:
    """One or several of the options.

    Raises:
        TypeError: If it is neither a string nor a sequence of strings.
        ValueError: If it names something else.
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
        raise TypeError(f"{name} must be a sequence of names, got {value!r}.")
    return tuple(one_of(name, each, options) for each in names)


def as_elements(elements: Any, events: int, size: int) -> Array:
    """Which element each event arrives at.

    Raises:
        TypeError: If they are no integers.
        ValueError: If there is not one for each event, or one does not exist.
    """
    given = real_array("elements", elements)
    if isinstance(given, jax.core.Tracer):
        raise TypeError(
            "elements must be concrete, got values traced by a JAX transform; under one, use the "
            "tracer's recurrence.jump."
        )
    row = np.asarray(given)
    if row.size and not np.issubdtype(row.dtype, np.integer):
        raise TypeError(f"elements must be integers, got dtype {row.dtype}.")
    if row.shape != (events,):
        raise ValueError(f"elements must have shape ({events},), as times, got {row.shape}.")
    wrong = (row < 0) | (row >= size)
    if wrong.any():
        raise ValueError(f"elements must lie in [0, {size}), got {row[wrong][0]}.")
    return jnp.asarray(row.astype(np.int32))


def one_of(name: str, value: Any, options: Sequence[str]) -> Any:
    """`value`, if it is one of the options.

    Raises:
        ValueError: If it is not.
    """
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")
    return value

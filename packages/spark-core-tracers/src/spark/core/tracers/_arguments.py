"""Checks of arguments; an error names the argument, its value and the remedy."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array


@functools.cache
def is_real(dtype: Any, boolean: bool = True) -> bool:
    """Whether it is a dtype of integers or floats that JAX may have; or of booleans, if they do."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return boolean
    real = jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)
    return real and dtype.itemsize <= 8


def is_key(value: Any) -> bool:
    """Whether it is a JAX PRNG key, or an array of them."""
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def show(value: Any) -> str:
    """A value as an error message shows it: an array by its dtype and shape."""
    if is_key(value):
        return "a JAX PRNG key"
    if isinstance(value, (np.ndarray, jax.Array)) and value.ndim:
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def own(value: Any) -> Any:
    """A tree with its NumPy arrays copied.

    JAX reads a NumPy buffer after the call has returned, when its owner may have refilled it;
    `jnp.array(value, copy=True)` reads it as late.
    """
    return jax.tree.map(lambda x: np.array(x) if isinstance(x, np.ndarray) else x, value)


def real_array(name: str, value: Any, kind: str = "boolean, integer or floating") -> Any:
    """`value` as a JAX array, or a NumPy array of its own, of booleans, integers or floats.

    Args:
        name: What an error calls it.
        value: What was given.
        kind: What an error asks for.

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
    if not is_real(value.dtype):
        raise TypeError(f"{name} must be {kind}, got dtype {value.dtype}; convert it.")
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


def require_values(
    name: str, values: Any, holds: Callable[[Any], Any], rule: str, given: Any = None
) -> None:
    """Refuse an array by its values.

    Args:
        name: Name of the argument.
        values: A NumPy array.
        holds: Function from the array to booleans, true where a value is right.
        rule: Ends the sentence "name must ...".
        given: The array as it came, which an error shows; None stands for `values`.

    Raises:
        ValueError: If `holds` is false for a value; the message names the first.
    """
    wrong = ~np.broadcast_to(holds(values), values.shape)
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = f" at index {where}" if where else ""
        value = np.asarray(values if given is None else given)[where]
        raise ValueError(f"{name} must {rule}, got {value}{at}.")


def as_row(name: str, value: Any, remedy: str = "") -> np.ndarray[Any, Any]:
    """Concrete integers or floats along one axis.

    Raises:
        TypeError: If they are anything else, or traced by a JAX transform; ends with the remedy.
        ValueError: If there is not one axis.
    """
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} must be concrete, got a value traced by a JAX transform{remedy}.")
    row = np.asarray(real_array(name, value))
    if not is_real(row.dtype, boolean=False):
        raise TypeError(f"{name} must be an array of numbers, got dtype {row.dtype}.")
    if row.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {row.shape}.")
    return row


def as_indices(
    name: str, value: Any, count: int, size: int, remedy: str = ""
) -> np.ndarray[Any, Any]:
    """As many indices of `size` elements as there are times.

    Raises:
        TypeError: If they are no integers.
        ValueError: If they are not `count`, or one does not exist.
    """
    row = as_row(name, value, remedy)
    if row.size and not np.issubdtype(row.dtype, np.integer):
        raise TypeError(f"{name} must be integers, got dtype {row.dtype}.")
    if row.shape != (count,):
        raise ValueError(f"{name} must have shape ({count},), as times, got {row.shape}.")
    wrong = (row < 0) | (row >= size)
    if wrong.any():
        raise ValueError(f"{name} must lie in [0, {size}), got {row[wrong][0]}.")
    return row.astype(np.int64)


def as_integer(name: str, value: Any, least: int | None = None) -> int:
    """An integer of Python, NumPy or JAX; a boolean is none.

    Raises:
        TypeError: If it is anything else.
        ValueError: If it is less than `least`.
    """
    try:
        number = _index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {show(value)}.") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {number}.")
    return number


def as_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """A shape as a tuple of sizes; an integer stands for one axis.

    Raises:
        TypeError: If it is not one or several integers; those of NumPy and JAX, arrays too, are.
        ValueError: If a size is negative.
    """
    try:
        each = shape if isinstance(shape, Sequence) or np.ndim(shape) == 1 else (shape,)
        sizes = tuple(_index(size) for size in each)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer or a sequence of integers, got {shape!r}."
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"{name} must have no negative size, got {shape!r}.")
    return sizes


def _index(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)


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


def as_seed(name: str, seed: Any, wanted: str = "an integer or None") -> int | None:
    """The seed of a random stream: an integer of 64 bits, or None.

    Raises:
        TypeError: If it is anything else.
        ValueError: If it does not fit in 64 bits.
    """
    try:
        number = None if seed is None else _index(seed)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}, got {show(seed)}.") from None
    if number is not None and not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} must fit in 64 bits with a sign, got {number}.")
    return number


def as_key(seed: Any) -> Array:
    """The key of a random stream; None stands for the seed 0.

    Raises:
        TypeError: If it is neither an integer nor a JAX PRNG key.
        ValueError: If it does not fit in 64 bits.
    """
    if is_key(seed):
        if seed.shape:
            raise ValueError(f"seed must be one key, got keys of shape {seed.shape}.")
        return seed
    number = as_seed("seed", seed, "an integer or a JAX PRNG key, as of jax.random.key") or 0
    # Without 64-bit numbers JAX would take the lower half alone.
    high, low = divmod(number, 2**32)
    key = jax.random.key(np.uint32(low))
    return jax.random.fold_in(key, np.uint32(high % 2**32)) if high else key


def as_names(name: str, value: Any, options: Sequence[str] | None = None) -> tuple[str, ...]:
    """One or several names; only those of the options, if there are any.

    Raises:
        TypeError: If it is neither a string nor a sequence of strings.
        ValueError: If it names something else.
    """
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
        raise TypeError(f"{name} must be a sequence of names, got {show(value)}.")
    return tuple(each if options is None else one_of(name, each, options) for each in names)


def one_of(name: str, value: Any, options: Sequence[str]) -> Any:
    """`value`, if it is one of the options.

    Raises:
        ValueError: If it is not.
    """
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")
    return value

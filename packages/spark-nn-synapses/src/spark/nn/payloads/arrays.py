"""Arrays of payloads: checked, and printed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spark.core.internal import as_input, real_array

from .payload import Payload


def as_array(name: str, value: Any) -> jax.Array:
    """An argument as a JAX array of booleans, integers or floats.

    A finite double that single precision cannot hold becomes the largest that it can, where JAX has
    no doubles.

    Raises:
        TypeError: If it is anything else.
        ValueError: If it has an integer that 32 bits do not hold, where JAX has no others.
    """
    if isinstance(value, Payload):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}.")
    array = real_array(name, value)
    if isinstance(array, jax.Array):
        return array
    held = jax.dtypes.canonicalize_dtype(array.dtype)
    if array.size and held != array.dtype and jnp.issubdtype(held, jnp.integer):
        # JAX would wrap it.
        info = jnp.iinfo(held)
        for end in (array.min(), array.max()):
            if not info.min <= end <= info.max:
                raise ValueError(f"{name} must fit in {held}, got {end}.")
    return jnp.asarray(as_input(name, array) if jnp.issubdtype(held, jnp.floating) else array)


def is_concrete(value: Any) -> bool:
    """Whether it is an array whose values can be read here and now."""
    if isinstance(value, jax.core.Tracer):
        return False
    if isinstance(value, jax.Array):
        return value.is_fully_addressable and not value.is_deleted()
    return isinstance(value, np.ndarray)


def describe(value: Any) -> str:
    """Dtype and shape of an array, as `bool[3, 4]`; anything else as it prints."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    return repr(value)

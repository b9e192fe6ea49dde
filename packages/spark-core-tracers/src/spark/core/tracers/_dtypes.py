"""The dtype that a state is stored in, the one it is computed in, and the range of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arguments import as_number, show

STORAGE_DTYPES = ("float16", "bfloat16", "float32", "float64")


def as_dtype_name(name: str, dtype: Any) -> str:
    """The name of a dtype that a state can have.

    Raises:
        TypeError: If it is not one of the four floating dtypes.
    """
    try:
        found = "" if dtype is None else jnp.dtype(dtype).name
    except TypeError:
        found = ""
    if found not in STORAGE_DTYPES:
        raise TypeError(f"{name} must be one of {', '.join(STORAGE_DTYPES)}, got {show(dtype)}.")
    return found


def as_storage_dtype(dtype: Any) -> jnp.dtype:
    """A dtype that a state can have here and now.

    Raises:
        TypeError: If it is not one of the four floating dtypes.
        ValueError: If it is float64 and 64-bit types are not enabled in JAX.
    """
    storage = jnp.dtype(as_dtype_name("dtype", dtype))
    if jax.dtypes.canonicalize_dtype(storage) != storage:
        raise ValueError(
            "dtype float64 needs 64-bit types in JAX: call "
            "jax.config.update('jax_enable_x64', True) before anything else, or choose float32."
        )
    return storage


def compute_dtype(dtype: Any) -> jnp.dtype:
    """The dtype to compute in for a state stored in `dtype`: at least float32."""
    return jnp.dtype("float64" if jnp.dtype(dtype) == jnp.float64 else "float32")


def smallest(dtype: jnp.dtype) -> float:
    """The smallest positive number of a dtype that counts in arithmetic.

    XLA takes subnormal numbers for 0 in arithmetic; those of float16 are normal in float32.
    """
    info = jnp.finfo(dtype)
    normal = info.minexp == jnp.finfo(compute_dtype(dtype)).minexp
    return float(info.smallest_normal if normal else info.smallest_subnormal)


def as_bounds(minimum: Any, maximum: Any, dtype: Any = np.float64) -> tuple[float, float]:
    """The range of a saturating trace, as values of a dtype.

    Raises:
        TypeError: If a bound is not a number.
        ValueError: If a bound is not finite in `dtype`, or the range is empty in it.
    """
    bounds = []
    for name, value in (("minimum", minimum), ("maximum", maximum)):
        exact = as_number(name, value)
        if not abs(exact) <= float(jnp.finfo(dtype).max):
            raise ValueError(
                f"{name} must be finite in {jnp.dtype(dtype)}, got {value!r}; Tracer has no bounds."
            )
        bounds.append(float(np.asarray(exact).astype(dtype)))
    if bounds[0] >= bounds[1]:
        raise ValueError(
            f"minimum must be below maximum in {jnp.dtype(dtype)}, got {minimum!r} and {maximum!r}."
        )
    return bounds[0], bounds[1]


def straight_through(function: Callable[..., Array]) -> Callable[..., Array]:
    """Differentiate a function as if it returned its first argument."""
    wrapped = jax.custom_jvp(function)
    wrapped.defjvp(lambda primals, tangents: (function(*primals), tangents[0]))
    return wrapped


def bound(y: Float[Array, "*shape"], limits: tuple[float, float]) -> Float[Array, "*shape"]:
    """Keep `y` within limits, infinity included; NaN stays.

    Under differentiation this function is the identity (straight-through).

    Args:
        y: Values in the compute dtype.
        limits: Smallest and largest value.
    """
    return straight_through(lambda y: jnp.clip(y, *limits))(y)


def as_finite(x: Array, dtype: jnp.dtype) -> Array:
    """Values in a floating dtype, saturated at its largest; an infinite one becomes NaN."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(dtype)
    finite = x
    if x.dtype.itemsize > dtype.itemsize:
        largest = float(jnp.finfo(dtype).max)
        finite = jnp.clip(x, -largest, largest)
    return jnp.where(jnp.isfinite(x), finite.astype(dtype), jnp.nan)

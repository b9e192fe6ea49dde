"""Sparse kernels, stored densely: most entries are 0."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jaxtyping import Array

from spark.core.internal import compute_dtype


def sparse_uniform(
    density: float = 0.2, minimum: float = 0.0, maximum: float = 1.0, dtype: Any = jnp.float32
) -> Initializer:
    """Entries that are nonzero with a probability, and then uniformly distributed.

    Args:
        density: Probability that an entry is there, in [0, 1]; the others are 0.
        minimum: Smallest value of an entry.
        maximum: Upper end of the values, excluded but for rounding.
        dtype: Dtype if the initializer is given none.

    Returns:
        An initializer `(key, shape, dtype, out_sharding) -> kernel`.

    Raises:
        ValueError: If the density is no probability, or the range is empty or not finite.

    Example:
        >>> import jax
        >>> from spark.nn.initializers import sparse_uniform
        >>> kernel = sparse_uniform(density=0.1)(jax.random.key(0), (100, 100))
        >>> round(float((kernel != 0).mean()), 2)
        0.1
    """
    _require_probability(density)
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise ValueError(
            f"minimum and maximum must be finite and ascend, got {minimum!r} and {maximum!r}."
        )

    def init(key: Array, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Array:
        compute = compute_dtype(dtype)
        place_key, value_key = jax.random.split(key)
        there = jax.random.uniform(place_key, shape, compute, out_sharding=out_sharding) < density
        entry = jax.random.uniform(
            value_key, shape, compute, minimum, maximum, out_sharding=out_sharding
        )
        return jnp.where(there, entry, jnp.zeros((), compute)).astype(dtype)

    return init


def sparse_normalized(
    density: float = 0.2, total: float = 1.0, target_axes: int = 1, dtype: Any = jnp.float32
) -> Initializer:
    """Sparse entries whose sum over the inputs is the same for each target.

    Entries are there with a probability, uniformly distributed, and then divided by their sum over
    the inputs of their target. A target that would have none gets one, so that every sum is
    `total`; with no inputs at all there is nothing to sum.

    Args:
        density: Probability that an entry is there, in [0, 1].
        total: Sum of the entries of each target; finite.
        target_axes: How many leading axes of the kernel belong to the targets; the others belong to
            the inputs.
        dtype: Dtype if the initializer is given none.

    Returns:
        An initializer `(key, shape, dtype, out_sharding) -> kernel`.

    Raises:
        ValueError: If the density is no probability, the total is not finite, or a kernel has fewer
            axes than its targets.

    Example:
        >>> import jax
        >>> from spark.nn.initializers import sparse_normalized
        >>> kernel = sparse_normalized(density=0.1, total=20.0)(jax.random.key(0), (3, 100))
        >>> kernel.sum(axis=1).round(3)
        Array([20., 20., 20.], dtype=float32)
    """
    _require_probability(density)
    if not math.isfinite(total):
        raise ValueError(f"total must be finite, got {total!r}.")

    def init(key: Array, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Array:
        matrix_shape(shape, target_axes)
        compute = compute_dtype(dtype)
        inputs = tuple(range(target_axes, len(shape)))
        place_key, value_key = jax.random.split(key)
        draw = jax.random.uniform(place_key, shape, compute, out_sharding=out_sharding)
        # The entry of the lowest draw is there whatever the density.
        lowest = draw.min(axis=inputs, keepdims=True, initial=1.0)
        there = (draw < density) | (draw == lowest)
        # In (0, 1], so that no sum is 0.
        entry = 1 - jax.random.uniform(value_key, shape, compute, out_sharding=out_sharding)
        entry = jnp.where(there, entry, jnp.zeros((), compute))
        return (total * (entry / entry.sum(axis=inputs, keepdims=True))).astype(dtype)

    return init


def _require_probability(density: float) -> None:
    if not 0 <= density <= 1:
        raise ValueError(f"density must lie in [0, 1], got {density!r}.")


def matrix_shape(shape: tuple[int, ...], target_axes: int) -> tuple[int, int]:
    """Numbers of targets and inputs of a kernel.

    Raises:
        ValueError: If it has fewer axes than its targets.
    """
    if len(shape) < target_axes:
        raise ValueError(f"a kernel with {target_axes} target axes cannot have shape {shape}.")
    return math.prod(shape[:target_axes]), math.prod(shape[target_axes:])

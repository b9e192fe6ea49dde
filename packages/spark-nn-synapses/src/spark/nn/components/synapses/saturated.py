"""From the dtype of the arithmetic to that of currents, and of spikes on their way."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from spark.core.internal import bound as limit
from spark.core.internal import compute_dtype as arithmetic_dtype


def saturated(values: Array, dtype: Any) -> Array:
    """Values in a dtype: what it cannot hold is limited, what is infinite stays so."""
    if not jnp.issubdtype(dtype, jnp.floating) or values.dtype in (dtype, bool):
        return values.astype(dtype)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(arithmetic_dtype(dtype))
    largest = float(jnp.finfo(dtype).max)
    return jnp.where(jnp.isinf(values), values, limit(values, (-largest, largest))).astype(dtype)

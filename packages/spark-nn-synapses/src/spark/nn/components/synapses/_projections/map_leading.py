"""`map_leading`: `jax.lax.map`, also over nothing under `jax.disable_jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def map_leading(function: Callable[[Any], Any], xs: Any) -> Any:
    """A function applied to each leading entry of arrays.

    Args:
        function: From entries, of the structure of `xs`, to arrays.
        xs: Arrays of one length.
    """
    if len(jax.tree.leaves(xs)[0]):
        return lax.map(function, xs)
    # No entry that would tell the shape of the output.
    entry = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    return jax.tree.map(
        lambda y: jnp.zeros((0, *y.shape), y.dtype), jax.eval_shape(function, entry)
    )

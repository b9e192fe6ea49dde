"""Loops over time, whose derivatives are summed in the arithmetic dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from spark.core.internal import compute_dtype as arithmetic_dtype

T = TypeVar("T")


def summed_wide(loop: Callable[..., T], weights: Any, *rest: Any) -> T:
    """What a loop makes of weights and other arrays, with derivatives summed in float32 at least.

    JAX sums what the turns of a loop say of an array in the dtype of the array, and in float16
    2048 + 1 is 2048. Weights that are differentiated are therefore widened before the loop; all
    others are read as they are, for half the memory and time.

    Args:
        loop: A pure function of arrays, `(weights, *rest) -> result`.
        weights: A tree of arrays.
        *rest: Trees of arrays.
    """
    if all(_wide(leaf) is leaf for leaf in jax.tree.leaves(weights)):
        return loop(weights, *rest)
    run = jax.custom_jvp(loop)

    def jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(primals)
        changes = jax.tree.leaves(tangents, is_leaf=lambda each: isinstance(each, SymbolicZero))
        changing = [i for i, each in enumerate(changes) if not isinstance(each, SymbolicZero)]
        first = len(jax.tree.leaves(primals[0]))

        def along(*changed: Array) -> Any:
            every = dict(enumerate(leaves)) | dict(zip(changing, changed, strict=True))
            return loop(*jax.tree.unflatten(tree, every.values()))

        at = [_wide(leaves[i]) if i < first else leaves[i] for i in changing]
        moves = [changes[i].astype(x.dtype) for i, x in zip(changing, at, strict=True)]
        return jax.jvp(along, at, moves)

    run.defjvp(jvp, symbolic_zeros=True)
    return run(weights, *rest)


def _wide(array: Array) -> Array:
    """An array of half precision in float32, any other as it is."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    wide = arithmetic_dtype(array.dtype)
    return array if array.dtype == wide else array.astype(wide)

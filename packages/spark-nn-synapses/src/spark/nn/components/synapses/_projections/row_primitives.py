"""The primitives of sums along rows: what they take, and what runs on each platform.

On a CPU each is a kernel of the engine, which reads the rows of the inputs that spike; elsewhere,
and where the engine does not run, XLA takes all connections at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jaxtyping import Array

from .. import _cpu
from .at_once import KINDS, Of, all_at_once
from .primitives import define, varying
from .rows import DrawnRows, Rows, StoredRows

# Primitives: JAX has no other way to be told the transpose of a linear map under every transform,
# and what a platform does. Their operands are the adjacency and the cursor of a ring, then two of
# weights, spikes and sums; and what sums are added to, if anything.
sums = Primitive("project_rows")
later = Primitive("project_rows_later")
later.multiple_results = True


def _shape(*arrays: Any, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> ShapedArray:
    _require_untracked(arrays)
    *adjacency, _, first, second = arrays[:5]
    lead = second.shape[: second.ndim - (len(rows.shape) if of != "targets" else 1)]
    shapes = {
        "weights": (rows.weights,),
        "inputs": (*lead, rows.inputs),
        "targets": (*lead, *rows.shape),
    }
    found = [each.shape for each in (first, second, *arrays[5:])]
    wanted = [shapes[kind] for kind in KINDS if kind != of] + [shapes[of]] * len(arrays[5:])
    _require_fit(rows, adjacency, found, wanted)
    return ShapedArray(shapes[of], dtype)


def _shapes_later(*arrays: Any, rows: Rows, **static: Any) -> list[ShapedArray]:
    _require_untracked(arrays)
    *adjacency, _, weights, spikes, ring = arrays
    lead = spikes.shape[:-1]
    found = [each.shape for each in (weights, spikes, ring)]
    _require_fit(
        rows, adjacency, found, [(rows.weights,), (*lead, rows.inputs), (*lead, *rows.shape)]
    )
    drive = (*ring.shape[:-2], ring.shape[-1])
    return [ShapedArray(ring.shape, ring.dtype), ShapedArray(drive, ring.dtype)]


def _require_fit(rows: Rows, adjacency: Any, found: list[Any], wanted: list[Any]) -> None:
    """Refuse arrays of other lengths than the rows have: kernels read them up to these."""
    first, second = adjacency
    if isinstance(rows, StoredRows):
        found = [*found, second.shape]
        wanted = [*wanted, (rows.weights,)]
        starts = [(1,), (rows.inputs + 1,)]
    else:
        starts = [(2,), (5,)]
    if found != wanted or first.shape not in starts:
        raise ValueError(
            f"connections of {rows.inputs} inputs to {rows.targets} targets must have arrays of "
            f"shapes {wanted}, got {found}, and {first.shape} of where rows start."
        )


def _require_untracked(arrays: Any) -> None:
    # JAX would take the result for one that all devices share, and not add up its derivatives.
    if any(map(varying, arrays)):
        raise TypeError(
            "sparse connections inside jax.shard_map need check_vma=False: JAX does not keep track "
            "for them of what differs between devices."
        )


def _of_engine(*arrays: Array, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> Array:
    starts, indices, now, *others = arrays
    operands = (starts, indices, *others[:2], now, *others[2:])
    result = _shape(*arrays, of=of, rows=rows, dtype=dtype, dense=dense)
    aliases = {5: 0} if len(others) > 2 else None
    found: Array = _cpu.call(
        of,
        operands,
        jax.ShapeDtypeStruct(result.shape, result.dtype),
        aliases,
        are_drawn=isinstance(rows, DrawnRows),
    )
    return found


def _of_engine_later(*arrays: Array, rows: Rows, **static: Any) -> Any:
    starts, indices, now, weights, spikes, ring = arrays
    operands = (starts, indices, weights, spikes, now, ring)
    shapes = _shapes_later(*arrays, rows=rows, **static)
    results = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in shapes]
    return _cpu.call("ring", operands, results, {5: 0}, are_drawn=isinstance(rows, DrawnRows))


def _at_once(*arrays: Array, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> Array:
    first, second, now, *others = arrays
    shape = _shape(*arrays, of=of, rows=rows, dtype=dtype, dense=dense).shape
    return all_at_once(rows, (first, second), now, of, others, dtype, shape)


def _at_once_later(*arrays: Array, rows: Rows, dtype: jnp.dtype, dense: bool) -> Any:
    _, _, now, _, _, ring = arrays
    places = _at_once(*arrays, of="targets", rows=rows, dtype=dtype, dense=dense)
    axis = ring.ndim - 2
    drive = lax.dynamic_index_in_dim(places, now, axis, keepdims=False)
    return lax.dynamic_update_index_in_dim(places, jnp.zeros_like(drive), now, axis), drive


def _on_cpu(engine: Callable[..., Any], at_once: Callable[..., Any]) -> Callable[..., Any]:
    """What a CPU runs: the engine, unless all connections are asked for at once."""

    def run(*arrays: Array, dense: bool, **static: Any) -> Any:
        chosen = at_once if dense or not _cpu.available() else engine
        return chosen(*arrays, dense=dense, **static)

    return run


define(sums, _shape, _at_once, _on_cpu(_of_engine, _at_once))
define(later, _shapes_later, _at_once_later, _on_cpu(_of_engine_later, _at_once_later))

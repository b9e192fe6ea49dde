"""Spikes times a kernel along rows of connections: the sum, its two transposes, and delayed sums.

The sums for spikes `s`, weighed by `g`, are a form `F(w, s, g) = sum of w s g` over all
connections. It is linear in weights, spikes and weighing, so that each of three maps takes two of
these and gives the derivative by the third; and the derivatives of each map are the other two.

On a CPU each map is a kernel of the engine, which reads the rows of the inputs that spike;
elsewhere, and where the engine does not run, XLA takes all connections at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array, Float, Int

from .. import _cpu
from .at_once import KINDS, Of, all_at_once
from .map_leading import map_leading
from .primitives import define, varying
from .rows import DrawnRows, Rows, StoredRows, Wires


def project_rows(
    rows: Rows,
    wires: Wires,
    weights: Float[Array, " weights"],
    spikes: Array,
    dtype: jnp.dtype,
    way: Literal["auto", "dense", "events"] = "auto",
) -> Float[Array, "*batch *shape"]:
    """The sum over inputs of weight times spike, for each target, along rows of connections.

    Inputs that do not spike add nothing, whatever their weights. The derivative is that of the
    product, at silent inputs too.

    Args:
        rows: Where each input leads.
        wires: The arrays that the rows are read from.
        weights: The weights, as the rows have them.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        dtype: Arithmetic dtype, and that of the sums.
        way: `"dense"` takes all connections at once, everywhere; otherwise a CPU reads the rows of
            the inputs that spike, one after the other.

    Returns:
        The sums.

    Raises:
        ValueError: If wires, weights or spikes have other lengths than the rows.
        TypeError: If it is inside a `jax.shard_map` that keeps track of what differs.
    """
    weights, spikes = _readable(weights, spikes, dtype)
    now = jnp.zeros((), jnp.int32)
    found: Array = _sums.bind(
        *wires, now, weights, spikes, of="targets", rows=rows, dtype=dtype, dense=way == "dense"
    )
    return found


def project_later(
    rows: StoredRows,
    wires: Wires,
    weights: Float[Array, " weights"],
    spikes: Array,
    ring: Float[Array, "*batch steps targets"],
    now: Int[Array, ""],
    way: Literal["auto", "dense", "events"] = "auto",
) -> tuple[Float[Array, "*batch steps targets"], Float[Array, "*batch targets"]]:
    """A step of sums that arrive later, in place where XLA need not keep the ring as it was.

    Args:
        rows: Where each input leads, and in how many steps.
        wires: The arrays that the rows are read from.
        weights: The weights.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        ring: Sums on their way, in the arithmetic dtype.
        now: Which step of the ring is the current one.
        way: As in `project_rows`.

    Returns:
        The ring with what is put on its way and without what arrives, and what arrives.

    Raises:
        ValueError: As in `project_rows`, or if the ring has another shape.
        TypeError: As in `project_rows`.
    """
    weights, spikes = _readable(weights, spikes, ring.dtype)
    static = {"rows": rows, "dtype": ring.dtype, "dense": way == "dense"}
    after, drive = _later.bind(*wires, now, weights, spikes, ring, **static)
    return after, drive


def _readable(weights: Array, spikes: Array, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Weights and spikes in dtypes that kernels read."""
    if weights.dtype.name not in _cpu.FLOATS:
        weights = weights.astype(dtype)
    return weights, spikes if spikes.dtype == bool else spikes.astype(dtype)


# Primitives: JAX has no other way to be told the transpose of a linear map under every transform,
# and what a platform does. Their operands are two wires and the current step of a ring, then two of
# weights, spikes and sums; and what sums are added to, if that is something.
_sums = Primitive("project_rows")
_later = Primitive("project_rows_later")
_later.multiple_results = True


def _shape(*arrays: Any, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> ShapedArray:
    _require_untracked(arrays)
    *wires, _, first, second = arrays[:5]
    lead = second.shape[: second.ndim - (len(rows.shape) if of != "targets" else 1)]
    shapes = {
        "weights": (rows.weights,),
        "inputs": (*lead, rows.inputs),
        "targets": (*lead, *rows.shape),
    }
    found = [each.shape for each in (first, second, *arrays[5:])]
    wanted = [shapes[kind] for kind in KINDS if kind != of] + [shapes[of]] * len(arrays[5:])
    _require_fit(rows, wires, found, wanted)
    return ShapedArray(shapes[of], dtype)


def _shapes_later(*arrays: Any, rows: StoredRows, **static: Any) -> list[ShapedArray]:
    _require_untracked(arrays)
    *wires, _, weights, spikes, ring = arrays
    lead = spikes.shape[:-1]
    found = [each.shape for each in (weights, spikes, ring)]
    _require_fit(rows, wires, found, [(rows.weights,), (*lead, rows.inputs), (*lead, *rows.shape)])
    drive = (*ring.shape[:-2], ring.shape[-1])
    return [ShapedArray(ring.shape, ring.dtype), ShapedArray(drive, ring.dtype)]


def _require_fit(rows: Rows, wires: Any, found: list[Any], wanted: list[Any]) -> None:
    """Refuse arrays of other lengths than the rows have: kernels read them up to these."""
    first, second = wires
    if isinstance(rows, StoredRows):
        found = [*found, second.shape]
        wanted = [*wanted, (rows.weights,)]
        starts = [(1,), (rows.inputs + 1,)]
    else:
        starts = [(2,)]
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


# Derivatives --------------------------------------------------------------------------------------


def _by(of: Of, wires: Any, given: dict[str, Array], static: Any, *onto: Array) -> Array:
    """What a map gives, of the two kinds it takes, by name; added to sums, if they are given."""
    two = [given[kind] for kind in KINDS if kind != of]
    found: Array = _sums.bind(*wires, *two, *onto, of=of, **static)
    return found


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, ad.Zero)


def _jvp_sums(primals: Any, tangents: Any, *, of: Of, **static: Any) -> tuple[Array, Array]:
    *wires, first, second = primals[:5]
    given = dict(zip([kind for kind in KINDS if kind != of], (first, second), strict=True))
    changes = [
        _by(of, wires, given | {kind: tangent}, static)
        for kind, tangent in zip(given, tangents[3:5], strict=True)
        if not _is_zero(tangent)
    ]
    changes += [tangent for tangent in tangents[5:] if not _is_zero(tangent)]
    return _sums.bind(*primals, of=of, **static), sum(changes[1:], changes[0])


def _jvp_later(primals: Any, tangents: Any, **static: Any) -> tuple[Any, Any]:
    *wires, weights, spikes, ring = primals
    of_weights, of_spikes, of_ring = tangents[3:]
    change = jnp.zeros_like(ring) if _is_zero(of_ring) else of_ring
    if not _is_zero(of_spikes):
        given = {"weights": weights, "inputs": of_spikes}
        change = _by("targets", wires, given, static, change)
    # Linear in the weights and the ring together.
    if _is_zero(of_weights):
        of_weights, spikes = weights, jnp.zeros(spikes.shape, bool)
    after = _later.bind(*wires, of_weights, spikes, change, **static)
    return _later.bind(*primals, **static), after


def _transpose_sums(cotangent: Any, *arrays: Any, of: Of, **static: Any) -> list[Any]:
    *wires, first, second = arrays[:5]
    given = dict(zip([kind for kind in KINDS if kind != of], (first, second), strict=True))
    both = _credits(cotangent, of, wires, given, static)
    onto = [cotangent if ad.is_undefined_primal(each) else None for each in arrays[5:]]
    return [None, None, None, *both, *onto]


def _transpose_later(cotangents: Any, *arrays: Any, **static: Any) -> list[Any]:
    *wires, weights, spikes, ring = arrays
    _, _, now = wires
    of_ring, of_drive = cotangents
    if not (_is_zero(of_ring) and _is_zero(of_drive)):
        of_ring, of_drive = map(ad.instantiate_zeros, (of_ring, of_drive))
        # What arrived was taken out, so that nothing comes back from that step of the ring.
        of_ring = lax.dynamic_update_index_in_dim(of_ring, of_drive, now, of_ring.ndim - 2)
    given = {"weights": weights, "inputs": spikes}
    both = _credits(of_ring, "targets", wires, given, static)
    return [None, None, None, *both, of_ring if ad.is_undefined_primal(ring) else None]


def _credits(cotangent: Any, of: Of, wires: Any, given: dict[str, Any], static: Any) -> list[Any]:
    """The cotangents of the two kinds that a map takes; None for one that is known."""
    found: list[Any] = []
    for kind, value in given.items():
        if not ad.is_undefined_primal(value):
            found.append(None)
        elif _is_zero(cotangent):
            found.append(ad.Zero(value.aval))
        else:
            (known,) = [each for each in given if each != kind]
            gains = _by(kind, wires, {known: given[known], of: cotangent}, static)  # type: ignore[arg-type]
            found.append(gains.astype(value.aval.dtype))
    return found


# Batches --------------------------------------------------------------------------------------


def _batch(primitive: Primitive, arrays: Any, axes: Any, **static: Any) -> Any:
    """More of what is a batch anyway, if neither wires, step nor weights are mapped."""
    shared = 4
    mapped = [isinstance(axis, int) for axis in axes]
    moved = [
        jnp.moveaxis(array, axis, 0) if each else array
        for array, axis, each in zip(arrays, axes, mapped, strict=True)
    ]
    several = [array for array, each in zip(moved, mapped, strict=True) if each]
    if static.get("of") != "weights" and not any(mapped[:shared]):
        size = len(several[0])
        spread = [
            array if each else jnp.broadcast_to(array, (size, *array.shape))
            for array, each in zip(moved[shared:], mapped[shared:], strict=True)
        ]
        together = primitive.bind(*moved[:shared], *spread, **static)
    else:

        def one(several: list[Array]) -> Any:
            each = iter(several)
            every = [next(each) if yes else array for array, yes in zip(moved, mapped, strict=True)]
            return primitive.bind(*every, **static)

        together = map_leading(one, several)
    return together, jax.tree.map(lambda _: 0, together)


# What runs ----------------------------------------------------------------------------------------


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


def _of_engine_later(*arrays: Array, **static: Any) -> Any:
    starts, indices, now, weights, spikes, ring = arrays
    operands = (starts, indices, weights, spikes, now, ring)
    results = [
        jax.ShapeDtypeStruct(each.shape, each.dtype) for each in _shapes_later(*arrays, **static)
    ]
    return _cpu.call("ring", operands, results, {5: 0})


def _at_once(*arrays: Array, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> Array:
    first, second, now, *others = arrays
    shape = _shape(*arrays, of=of, rows=rows, dtype=dtype, dense=dense).shape
    return all_at_once(rows, (first, second), now, of, others, dtype, shape)


def _at_once_later(*arrays: Array, rows: StoredRows, dtype: jnp.dtype, dense: bool) -> Any:
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


define(_sums, _shape, _at_once, _on_cpu(_of_engine, _at_once))
ad.primitive_jvps[_sums] = _jvp_sums
ad.primitive_transposes[_sums] = _transpose_sums
batching.primitive_batchers[_sums] = functools.partial(_batch, _sums)

define(_later, _shapes_later, _at_once_later, _on_cpu(_of_engine_later, _at_once_later))
ad.primitive_jvps[_later] = _jvp_later
ad.primitive_transposes[_later] = _transpose_later
batching.primitive_batchers[_later] = functools.partial(_batch, _later)

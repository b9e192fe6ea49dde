"""Spikes times a kernel along rows of connections: the sum, its two transposes, and delayed sums.

The sums for spikes `s`, weighed by `g`, are a form `F(w, s, g) = sum of w s g` over all
connections. It is linear in weights, spikes and weighing, so that each of three maps takes two of
these and gives the derivative by the third; and the derivatives of each map are the other two.

What runs is in `row_primitives`.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array, Float, Int

from .. import _cpu
from .at_once import KINDS, Of
from .map_leading import map_leading
from .row_primitives import later, sums
from .rows import Adjacency, Rows


def project_rows(
    rows: Rows,
    adjacency: Adjacency,
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
        adjacency: The arrays that the rows are read from.
        weights: The weights, as the rows have them.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        dtype: Arithmetic dtype, and that of the sums.
        way: `"dense"` takes all connections at once, everywhere; otherwise a CPU reads the rows of
            the inputs that spike, one after the other.

    Returns:
        The sums.

    Raises:
        ValueError: If adjacency, weights or spikes have other lengths than the rows.
        TypeError: If it is inside a `jax.shard_map` that keeps track of what differs.
    """
    weights, spikes = _readable(weights, spikes, dtype)
    now = jnp.zeros((), jnp.int32)
    found: Array = sums.bind(
        *adjacency, now, weights, spikes, of="targets", rows=rows, dtype=dtype, dense=way == "dense"
    )
    return found


def project_later(
    rows: Rows,
    adjacency: Adjacency,
    weights: Float[Array, " weights"],
    spikes: Array,
    ring: Float[Array, "*batch steps targets"],
    now: Int[Array, ""],
    way: Literal["auto", "dense", "events"] = "auto",
) -> tuple[Float[Array, "*batch steps targets"], Float[Array, "*batch targets"]]:
    """A step of sums that arrive later, in place where XLA need not keep the ring as it was.

    Args:
        rows: Where each input leads, and in how many steps.
        adjacency: The arrays that the rows are read from.
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
    after, drive = later.bind(*adjacency, now, weights, spikes, ring, **static)
    return after, drive


def _readable(weights: Array, spikes: Array, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Weights and spikes in dtypes that kernels read."""
    if weights.dtype.name not in _cpu.FLOATS:
        weights = weights.astype(dtype)
    return weights, spikes if spikes.dtype == bool else spikes.astype(dtype)


def _by(of: Of, adjacency: Any, given: dict[str, Array], static: Any, *onto: Array) -> Array:
    """What a map gives, of the two kinds it takes, by name; added to sums, if they are given."""
    two = [given[kind] for kind in KINDS if kind != of]
    found: Array = sums.bind(*adjacency, *two, *onto, of=of, **static)
    return found


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, ad.Zero)


def _jvp_sums(primals: Any, tangents: Any, *, of: Of, **static: Any) -> tuple[Array, Array]:
    *adjacency, first, second = primals[:5]
    given = dict(zip([kind for kind in KINDS if kind != of], (first, second), strict=True))
    changes = [
        _by(of, adjacency, given | {kind: tangent}, static)
        for kind, tangent in zip(given, tangents[3:5], strict=True)
        if not _is_zero(tangent)
    ]
    changes += [tangent for tangent in tangents[5:] if not _is_zero(tangent)]
    return sums.bind(*primals, of=of, **static), sum(changes[1:], changes[0])


def _jvp_later(primals: Any, tangents: Any, **static: Any) -> tuple[Any, Any]:
    *adjacency, weights, spikes, ring = primals
    of_weights, of_spikes, of_ring = tangents[3:]
    change = jnp.zeros_like(ring) if _is_zero(of_ring) else of_ring
    if not _is_zero(of_spikes):
        given = {"weights": weights, "inputs": of_spikes}
        change = _by("targets", adjacency, given, static, change)
    # Linear in the weights and the ring together.
    if _is_zero(of_weights):
        of_weights, spikes = weights, jnp.zeros(spikes.shape, bool)
    after = later.bind(*adjacency, of_weights, spikes, change, **static)
    return later.bind(*primals, **static), after


def _transpose_sums(cotangent: Any, *arrays: Any, of: Of, **static: Any) -> list[Any]:
    *adjacency, first, second = arrays[:5]
    given = dict(zip([kind for kind in KINDS if kind != of], (first, second), strict=True))
    both = _credits(cotangent, of, adjacency, given, static)
    onto = [cotangent if ad.is_undefined_primal(each) else None for each in arrays[5:]]
    return [None, None, None, *both, *onto]


def _transpose_later(cotangents: Any, *arrays: Any, **static: Any) -> list[Any]:
    *adjacency, weights, spikes, ring = arrays
    _, _, now = adjacency
    of_ring, of_drive = cotangents
    if not (_is_zero(of_ring) and _is_zero(of_drive)):
        of_ring, of_drive = map(ad.instantiate_zeros, (of_ring, of_drive))
        # What arrived was taken out, so that nothing comes back from that step of the ring.
        of_ring = lax.dynamic_update_index_in_dim(of_ring, of_drive, now, of_ring.ndim - 2)
    given = {"weights": weights, "inputs": spikes}
    both = _credits(of_ring, "targets", adjacency, given, static)
    return [None, None, None, *both, of_ring if ad.is_undefined_primal(ring) else None]


def _credits(
    cotangent: Any, of: Of, adjacency: Any, given: dict[str, Any], static: Any
) -> list[Any]:
    """The cotangents of the two kinds that a map takes; None for one that is known."""
    found: list[Any] = []
    for kind, value in given.items():
        if not ad.is_undefined_primal(value):
            found.append(None)
        elif _is_zero(cotangent):
            found.append(ad.Zero(value.aval))
        else:
            (known,) = [each for each in given if each != kind]
            gains = _by(kind, adjacency, {known: given[known], of: cotangent}, static)  # type: ignore[arg-type]
            found.append(gains.astype(value.aval.dtype))
    return found


def _batch(primitive: Primitive, arrays: Any, axes: Any, **static: Any) -> Any:
    """More of what is a batch anyway, if neither adjacency, step nor weights are mapped."""
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


ad.primitive_jvps[sums] = _jvp_sums
ad.primitive_transposes[sums] = _transpose_sums
batching.primitive_batchers[sums] = functools.partial(_batch, sums)

ad.primitive_jvps[later] = _jvp_later
ad.primitive_transposes[later] = _transpose_later
batching.primitive_batchers[later] = functools.partial(_batch, later)

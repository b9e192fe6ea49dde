"""Sums along rows, and their transposes, in terms of JAX: all connections at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from .map_leading import map_leading
from .rows import Adjacency, DrawnRows, Rows
from .spiking import active

Of = Literal["weights", "inputs", "targets"]
"""What a map gives: sums for the targets, or derivatives by weights or inputs."""

KINDS = get_args(Of)


def all_at_once(
    rows: Rows,
    adjacency: Adjacency,
    now: Int[Array, ""],
    of: Of,
    operands: Sequence[Array],
    dtype: jnp.dtype,
    shape: tuple[int, ...],
    most: int = 1 << 20,
) -> Array:
    """The sum of weights times spikes times weighing, over all but what is asked for.

    Args:
        rows: Where each input leads.
        adjacency: What the rows are read from.
        now: Which step of a ring is the current one.
        of: What is asked for.
        operands: The two others, in the order of `KINDS`; and what the result is added to, if that
            is something.
        dtype: Arithmetic dtype, and that of the result.
        shape: Shape of the result.
        most: How many drawn connections may exist at a time.
    """
    first, second, *onto = operands
    lead = second.shape[: second.ndim - (len(rows.shape) if of != "targets" else 1)]
    shapes = {
        "weights": (rows.weights,),
        "inputs": (math.prod(lead), rows.inputs),
        "targets": (math.prod(lead), math.prod(rows.shape)),
    }
    two = [
        each if kind == "weights" else each.reshape(shapes[kind])
        for kind, each in zip([kind for kind in KINDS if kind != of], (first, second), strict=True)
    ]
    start = onto[0].reshape(shapes[of]) if onto else jnp.zeros(shapes[of], dtype)
    if isinstance(rows, DrawnRows):
        return _drawn(rows, dtype, adjacency, now, of, two, start, most).reshape(shape)
    return _stored(rows, dtype, adjacency, now, of, two, start).reshape(shape)


def _stored(
    rows: Rows,
    wide: jnp.dtype,
    adjacency: Adjacency,
    now: Array,
    of: Of,
    two: list[Array],
    start: Array,
) -> Array:
    inputs, places = rows.all(adjacency)
    return _SUMS[of](inputs, _from_now(rows, places, now), wide, two, start)


def _from_now(rows: Rows, places: Array, now: Array) -> Array:
    """Places of a ring, as seen from its current step."""
    count = math.prod(rows.shape)
    # Counted from the end, which 32 bits hold where the sum of both may be too much for them.
    later = places - (count - now * rows.targets)
    later = jnp.where(later < 0, later + count, later)
    return jnp.where(places < count, later, rows.nowhere)


def _drawn(
    rows: DrawnRows,
    wide: jnp.dtype,
    adjacency: Adjacency,
    now: Array,
    of: Of,
    two: list[Array],
    start: Array,
    most: int,
) -> Array:
    """Block by block of the inputs."""
    given = dict(zip([kind for kind in KINDS if kind != of], two, strict=True))

    def block(total: Array, inputs: Array) -> tuple[Array, None]:
        places = _from_now(rows, rows.places(adjacency, inputs).reshape(-1), now)
        basis = rows.basis(adjacency, inputs, wide).reshape(rows.weights, -1)
        every = jnp.repeat(inputs, rows.width)
        if of == "weights":
            flat = [given["inputs"], given["targets"]]
            gains = _SUMS[of](every, places, wide, flat, jnp.zeros(every.shape, wide))
            return total + jnp.sum(basis * gains[None], axis=1), None
        weights = jnp.sum(given["weights"].astype(wide)[:, None] * basis, axis=0)
        others = [given[kind] for kind in given if kind != "weights"]
        return _SUMS[of](every, places, wide, [weights, *others], total), None

    if start.size == 0:
        return start
    size = max(1, min(rows.inputs, most // rows.width))
    whole = rows.inputs - rows.inputs % size
    inputs = jnp.arange(rows.inputs, dtype=jnp.int32)
    if whole:
        start, _ = lax.scan(block, start, inputs[:whole].reshape(-1, size))
    if whole < rows.inputs:
        start, _ = block(start, inputs[whole:])
    return start


def _released(values: Array, spikes: Array, inputs: Array) -> Array:
    """The value of each connection times the spike of its input; 0 where there is no spike."""
    if spikes.dtype != bool:
        values = values * spikes[inputs]
    return jnp.where(active(spikes)[inputs], values, 0)


def _at(sums: Array, places: Array) -> Array:
    """The sums of connections; 0 for those that lead nowhere, which no sum has either."""
    return sums.at[places].get(mode="fill", fill_value=0)


def _add_to_targets(
    inputs: Array, places: Array, wide: jnp.dtype, two: list[Array], start: Array
) -> Array:
    weights, spikes = two

    def one(both: tuple[Array, Array]) -> Array:
        spikes, start = both
        return start.at[places].add(_released(weights.astype(wide), spikes, inputs))

    return map_leading(one, (spikes, start))


def _add_to_weights(
    inputs: Array, places: Array, wide: jnp.dtype, two: list[Array], start: Array
) -> Array:
    def one(gains: Array, both: tuple[Array, Array]) -> tuple[Array, None]:
        spikes, sums = both
        return gains + _released(_at(sums, places), spikes, inputs), None

    if not len(two[0]):  # no loop, which jax.disable_jit refuses over nothing
        return start
    return lax.scan(one, start, (two[0], two[1]))[0]


def _add_to_inputs(
    inputs: Array, places: Array, wide: jnp.dtype, two: list[Array], start: Array
) -> Array:
    weights, sums = two

    def one(both: tuple[Array, Array]) -> Array:
        sums, start = both
        return start.at[inputs].add(weights.astype(wide) * _at(sums, places))

    return map_leading(one, (sums, start))


_SUMS: dict[str, Callable[..., Array]] = {
    "targets": _add_to_targets,
    "weights": _add_to_weights,
    "inputs": _add_to_inputs,
}

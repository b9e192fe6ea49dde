"""`Shards`: the connections of each device, side by side in flat arrays; and back to the whole."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Int

from ._connect import stored_rows
from ._projections.rows import Adjacency, DrawnRows, Rows, StoredRows

NumPyArray = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Shards:
    """Rows as the devices of a grid have them, each between its own inputs and targets.

    Arrays are those of the devices, one after the other; devices along the targets come next to
    each other. All are as long as that of the device with the most connections. The entries that
    pad a shorter one come after its last row, and their place is `Rows.nowhere`.

    Attributes:
        whole: The rows of all devices together, as without a partition.
        own: The rows of each device.
        grid: How many devices there are along the inputs, and along the targets.
        by_delay: Whether connections are in the order of inputs, then delays, then targets; those
            of a dense kernel are in the order of inputs, then targets.
    """

    whole: Rows
    own: Rows
    grid: tuple[int, int]
    by_delay: bool = True

    def connections(
        self, adjacency: Adjacency, numpy: Any = jnp
    ) -> tuple[Int[Array, " n"], Int[Array, " n"], Int[Array, " n"]]:
        """All stored connections in the order that they have without a partition.

        Args:
            adjacency: The arrays of all devices.
            numpy: The module to compute with: `jax.numpy`, or NumPy for arrays on the host.

        Returns:
            Input and place of each connection, as without a partition; and its index in the arrays
            of all devices.
        """
        indptr, indices = adjacency
        whole, own, (_, along_targets) = self.whole, self.own, self.grid
        devices = self.grid[0] * along_targets
        stored = len(indices) // devices
        # A row begins after the connections of the devices before; padding is another row.
        before = numpy.arange(devices, dtype=indptr.dtype)[:, None] * stored
        starts = (indptr.reshape(devices, own.inputs + 1) + before).reshape(-1)
        positions = numpy.arange(devices * stored, dtype=indptr.dtype)
        row = numpy.searchsorted(starts, positions, side="right") - 1
        device, row = numpy.divmod(row, own.inputs + 1)
        padding = row == own.inputs
        pre = device // along_targets * own.inputs + row
        later, post = numpy.divmod(indices.astype(indptr.dtype), own.targets)
        post = post + device % along_targets * own.targets
        keys = (post, later, pre, padding) if self.by_delay else (post, pre, padding)
        order = numpy.lexsort(keys)[: whole.weights]
        return pre[order], (later * whole.targets + post)[order], positions[order]


def stored_shards(
    rows: StoredRows, adjacency: Adjacency, grid: tuple[int, int], by_delay: bool = True
) -> tuple[Shards, Adjacency, NumPyArray]:
    """Give each device the stored connections between its inputs and its targets.

    Args:
        rows: The rows of all.
        adjacency: What they are read from.
        grid: As in `Shards`, like `by_delay`.
        by_delay: Likewise.

    Returns:
        The shards; their adjacency, on the host; and for each entry of their arrays the index that
        this connection has in `rows`, -1 for padding.

    Raises:
        ValueError: If connections are in another order than `by_delay` says.
    """
    pre, place = (np.asarray(each) for each in rows.all(adjacency))
    later, post = np.divmod(place, rows.targets)
    _require_ordered(pre, place if by_delay else post)
    along_inputs, along_targets = grid
    inputs, targets = rows.inputs // along_inputs, rows.targets // along_targets
    devices, places = along_inputs * along_targets, rows.steps * targets
    device = pre // max(inputs, 1) * along_targets + post // max(targets, 1)
    counts = np.bincount(device, minlength=devices)
    most = int(counts.max())
    if devices * most >= 2**31:
        raise ValueError(
            f"stored connections are counted in 32 bits, got {devices} devices of {most} each."
        )
    indptr = np.zeros((devices, inputs + 1), np.int32)
    indices = np.full((devices, most), places, np.uint16 if places < 1 << 16 else np.int32)
    order = np.full((devices, most), -1, np.int32)
    for each in range(devices):
        own = np.flatnonzero(device == each)
        lengths = np.bincount(pre[own] - each // along_targets * inputs, minlength=inputs)
        indptr[each, 1:] = np.cumsum(lengths)
        indices[each, : len(own)] = later[own] * targets + post[own] % targets
        order[each, : len(own)] = own
    of_device = StoredRows(inputs, targets, most, steps=rows.steps)
    flat: Any = (indptr.reshape(-1), indices.reshape(-1))
    return Shards(rows, of_device, grid, by_delay), flat, order.reshape(-1)


def drawn_shards(
    rows: DrawnRows, adjacency: Adjacency, grid: tuple[int, int]
) -> tuple[Shards, Adjacency]:
    """Let each device draw the connections of its inputs, and keep those to its targets.

    Args:
        rows: The rows of all.
        adjacency: What they are drawn by.
        grid: As in `Shards`.
    """
    words, sizes = adjacency
    along_inputs, along_targets = grid
    inputs, targets = rows.inputs // along_inputs, rows.targets // along_targets
    own = dataclasses.replace(rows, inputs=inputs, targets=targets)
    of_each = [
        jnp.concatenate([words, jnp.array([i * inputs, j * targets, rows.targets], words.dtype)])
        for i in range(along_inputs)
        for j in range(along_targets)
    ]
    return Shards(rows, own, grid), (jnp.concatenate(of_each), sizes)


def weights_of_all(shards: Shards, adjacency: Adjacency, weights: Array) -> Array:
    """Weights in the arrays of all devices, put into the order without a partition."""
    return weights[shards.connections(adjacency)[2]]


def weights_of_devices(shards: Shards, adjacency: Adjacency, weights: Array) -> Array:
    """Weights in the order without a partition, put into the arrays of all devices."""
    zeros = jnp.zeros(len(adjacency[1]), weights.dtype)
    return zeros.at[shards.connections(adjacency)[2]].set(weights)


def pairs_of_all(shards: Shards, adjacency: Adjacency) -> tuple[Array, Array]:
    """Input and target of each connection, in the order without a partition."""
    pre, place, _ = shards.connections(adjacency)
    return pre, place % shards.whole.targets


@functools.cache
def compiled(read: Callable[..., Any], where: NamedSharding) -> Callable[..., Any]:
    """A function of shards and arrays, compiled, with its results where they are wanted."""
    return jax.jit(read, static_argnums=0, out_shardings=where)


def of_other_grid(
    arrays: dict[str, Any], rows: Rows, shards: Shards | None, grid: tuple[int, int]
) -> tuple[dict[str, Any], Shards | None]:
    """Arrays of a matrix that were laid out for another grid, or with other connections.

    Args:
        arrays: By the names of the matrix, on the host.
        rows: The rows of all devices together.
        shards: How to lay them out; None for the order without a partition.
        grid: What they were laid out for.

    Returns:
        The arrays, laid out so; and the shards, with as many connections as they have now.
    """
    found = dict(arrays)
    first: Any
    second: Any
    first, second = (arrays["adjacency"][each] for each in sorted(arrays["adjacency"]))
    if isinstance(rows, DrawnRows):
        first = first[:2]
        if shards is not None:
            shards, (first, second) = drawn_shards(rows, (first, second), shards.grid)
    else:
        assert isinstance(rows, StoredRows)
        by_delay = arrays["weights"].ndim == 1
        chosen: Any = np.arange(rows.weights)
        if grid != (1, 1):
            inputs, targets = rows.inputs // grid[0], rows.targets // grid[1]
            own = StoredRows(inputs, targets, len(second) // math.prod(grid), steps=rows.steps)
            every: Any = Shards(rows, own, grid, by_delay).connections((first, second), np)
            pre, place, chosen = every
            later, post = np.divmod(place, rows.targets)
            _, (first, second) = stored_rows(pre, post, rows.inputs, rows.targets, later)
        order: Any = None
        if shards is not None:
            given: Any = (first, second)
            shards, (first, second), order = stored_shards(rows, given, shards.grid, by_delay)

        def along_rows(values: Any) -> Any:
            if values.ndim != 1:
                return values
            return values[chosen] if order is None else spread(values[chosen], order)

        found["weights"] = along_rows(arrays["weights"])
        if "gains" in arrays:
            found["gains"] = {name: along_rows(each) for name, each in arrays["gains"].items()}
    if "pending" in arrays:
        along_inputs = 1 if shards is None else shards.grid[0]
        slots = _pending(arrays["pending"]["slots"], grid[0], along_inputs)
        found["pending"] = {**arrays["pending"], "slots": slots}
    keys = sorted(arrays["adjacency"])
    found["adjacency"] = dict(zip(keys, (first, second), strict=True))
    return found, shards


def _pending(slots: NumPyArray, before: int, now: int) -> NumPyArray:
    """Sums on their way, of so many devices along the inputs before, and so many now.

    Of as many, each keeps its own: they are added up in the order they would have been. Otherwise
    the first is given all of them.
    """
    if before == now:
        return slots
    *lead, steps, targets = slots.shape
    total = slots.reshape(*lead, before, steps // before, targets).sum(-3)
    return np.concatenate([total, *[np.zeros_like(total)] * (now - 1)], axis=-2)


def spread(values: Any, order: Any) -> Any:
    """Values of connections, put into the arrays of all devices; padding is 0."""
    numpy: Any = np if isinstance(values, np.ndarray) else jnp
    if not len(values):
        return numpy.zeros(order.shape, values.dtype)
    return numpy.where(order < 0, numpy.zeros((), values.dtype), values[numpy.maximum(order, 0)])


def from_devices(size: int, order: Array, values: Array) -> Array:
    """The inverse of `spread`: values of so many connections, out of the arrays of all devices."""
    zeros = jnp.zeros(size, values.dtype)
    return zeros.at[jnp.where(order < 0, size, order)].set(values, mode="drop")


def to_devices(size: int, order: Array, values: Array) -> Array:
    """As `spread`, of the first `size` values, to be compiled."""
    return spread(values[:size], order)


def _require_ordered(pre: NumPyArray, place: NumPyArray) -> None:
    """Refuse rows that are not sorted: their order could not be found from those of devices."""
    if not ((np.diff(pre) > 0) | (np.diff(place) >= 0)).all():
        raise ValueError(
            "a partition needs the connections of each input in the order of delays, then of "
            "targets: sort them before stored_rows."
        )

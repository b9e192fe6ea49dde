"""Stored connections that each process lays out for its own devices.

Of lists, and with numba of what is drawn, none holds those of all; without, each draws all of them
and keeps its own.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._connect import Connections, Laid
from ._drawing import freeze
from ._drawing.lines import Window
from ._kernel import as_kernel
from ._projections.rows import StoredRows
from ._shards import Shards, compiled, weights_of_all
from .partition import Partition, joined

NumPyArray = np.ndarray[Any, Any]


class Source(Protocol):
    """Where connections come from, a window of inputs and targets at a time; see `Plan`."""

    @property
    def dtype(self) -> jnp.dtype:
        """Dtype of the weights, as they are stored."""

    @property
    def drawn(self) -> bool:
        """Whether weights are random."""

    def begin(self, *windows: Window) -> list[Any]:
        """Count the connections within each window."""

    def draw(self, begun: Any, room: int) -> Laid:
        """Lay out connections that were counted, in arrays of so many."""


class ByDevice(NamedTuple):
    """How connections are laid out that devices have.

    Attributes:
        partition: Which device has what.
        shards: The rows of the devices.
        even: Whether each input has as many connections, in the whole.
    """

    partition: Partition
    shards: Shards
    even: bool

    def described(self, arrays: dict[str, Any]) -> dict[str, str]:
        """Dtypes and shapes that arrays of a matrix have in the whole, of those along rows."""
        rows = self.shards.whole
        about = {
            name: f"{each.dtype}[{rows.weights}]" for name, each in arrays.items() if each.ndim == 1
        }
        narrow = rows.steps * rows.targets <= 1 << 16
        about["adjacency.0"] = f"int32[{1 if self.even else rows.inputs + 1}]"
        about["adjacency.1"] = f"{'uint16' if narrow else 'int32'}[{rows.weights}]"
        return about

    def whole(self, adjacency: Any, values: Array) -> Array:
        """An entry per connection, in the order without a partition.

        Args:
            adjacency: The arrays of all devices.
            values: The entries in the order of these.
        """
        run = compiled(weights_of_all, self.partition.sharding(()))
        found: Array = run(self.shards, adjacency, values)
        return found

    def along_rows(self, adjacency: Any, gain: NumPyArray) -> Array:
        """A matrix (inputs, targets), either axis whole or of size 1, as an entry per connection.

        Args:
            adjacency: The arrays of all devices.
            gain: The matrix.

        Returns:
            The entries in the order of the arrays of all devices; padding is 0.
        """
        shards, (indptr, indices) = self.shards, adjacency
        own, (_, along_targets) = shards.own, shards.grid
        gain = np.broadcast_to(gain, (shards.whole.inputs, shards.whole.targets))
        starts, places = _of_own(indptr, own.inputs + 1), _of_own(indices, own.weights)
        pieces = {}
        for device, lengths in ((each, np.diff(some)) for each, some in starts.items()):
            first, start = np.multiply(divmod(device, along_targets), (own.inputs, own.targets))
            pre = first + np.repeat(np.arange(own.inputs), lengths)
            post = start + places[device][: len(pre)] % own.targets
            pieces[device] = np.zeros(own.weights, gain.dtype)
            pieces[device][: len(pre)] = gain[pre, post]
        return joined(self.partition, pieces)


def laid_out_by_device(
    source: Source, inputs: int, targets: int, partition: Partition
) -> Connections | None:
    """Lay out the connections of the devices of this process as `Shards`.

    Args:
        source: Where they come from, with weights.
        inputs: Number of inputs.
        targets: Number of targets.
        partition: Which device has what.

    Returns:
        The connections, in the order of devices; None if there are none, or a weight is lost in its
        dtype: whoever lays out all of them finds which.
    """
    grid = along_inputs, along_targets = partition.grid
    rows, columns = inputs // along_inputs, targets // along_targets
    windows = {}
    for device in partition.own_devices:
        i, j = divmod(device, along_targets)
        windows[device] = (i * rows, (i + 1) * rows, j * columns, (j + 1) * columns)
    begun = dict(zip(windows, source.begin(*windows.values()), strict=True))
    (most,), (count,) = _agreed(partition, {device: [each.size] for device, each in begun.items()})
    if count == 0 or math.prod(grid) * most >= 2**31:
        return None
    laid, weights, facts = {}, {}, {}
    for device in partition.own_devices:
        there = begun[device].size
        laid[device] = found = source.draw(begun.pop(device), most)
        assert found.weights is not None
        found.weights[there:] = 0
        weights[device] = freeze(found.weights)
        largest = int(found.places[:there].max(initial=0)) // max(columns, 1)
        facts[device] = [largest, _is_faulty(found.weights, source.dtype)]
    (latest, faulty), _ = _agreed(partition, facts)
    if faulty:
        return None
    steps = latest + 1
    starts, places = {}, {}
    for device in partition.own_devices:
        found = laid.pop(device)
        found.places[found.starts[-1] :] = steps * columns
        starts[device] = found.starts.astype(np.int32)
        narrow = steps * columns < 1 << 16
        places[device] = (
            found.places.astype(np.uint16) if narrow else freeze(found.places).view(np.int32)
        )
    of_device = StoredRows(rows, columns, most, steps=steps)
    whole = StoredRows(inputs, targets, count, steps=steps)
    indptr = joined(partition, starts)
    even = bool(jax.jit(_is_even, static_argnums=1)(indptr, grid))
    by_device = ByDevice(partition, Shards(whole, of_device, grid), even)
    adjacency = indptr, joined(partition, places)
    every: Any = joined(partition, weights)
    return Connections(whole, adjacency, every, None, source.drawn, by_device)


def _is_faulty(weights: NumPyArray, dtype: jnp.dtype) -> bool:
    try:
        as_kernel("weights", weights, weights.shape, dtype)
    except ValueError:
        return True
    return False


def _is_even(indptr: Array, grid: tuple[int, int]) -> Array:
    """Whether rows of all devices together have one length."""
    lengths = jnp.diff(indptr.reshape(*grid, -1)).sum(axis=1)
    return (lengths == lengths[0, 0]).all()


def _agreed(
    partition: Partition, facts: dict[int, list[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The largest of some numbers that each device has, and their sums."""
    every = {device: np.array([each], np.int32) for device, each in facts.items()}
    found = jax.jit(_extremes, out_shardings=partition.sharding(()))(joined(partition, every))
    largest, total = (tuple(np.asarray(each).tolist()) for each in found)
    return largest, total


def _extremes(numbers: Array) -> tuple[Array, Array]:
    return numbers.max(axis=0), numbers.sum(axis=0)


def _of_own(array: Array, size: int) -> dict[int, NumPyArray]:
    """The parts of the devices of this process, by their numbers."""
    return {
        (each.index[0].start or 0) // size: np.asarray(each.data)
        for each in array.addressable_shards
    }

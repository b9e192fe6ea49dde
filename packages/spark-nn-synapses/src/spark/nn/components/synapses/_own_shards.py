"""Connections with traces or spikes of their own, as the devices of a grid have them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array

from spark.core.tracers import Method

from ._own_places import OwnPlaces
from ._projections.rows import StoredRows
from ._stages.base import Carry, Run, Stage
from ._stages.total import TotalOfConnections
from .partition import Names, Partition

NumPyArray = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class OwnShards:
    """Such connections, each where its input and its target are.

    Arrays are those of the devices, one after the other; devices along the targets come next to
    each other. All are as long as that of the device with the most connections. The entries that
    pad a shorter one never spike, where connections have spikes of their own; elsewhere their place
    is `Rows.nowhere`.

    Attributes:
        rows: The rows of a device.
        starts: Where these begin, of all devices.
        places: Where the connections of all devices lead.
        order: For each entry, the index of this connection without a partition; -1 for padding.
        pre: Input of each, counted in its device.
    """

    rows: StoredRows
    starts: NumPyArray
    places: NumPyArray
    order: NumPyArray
    pre: NumPyArray


def own_shards(places: OwnPlaces, delays: NumPyArray, traced: bool, spiking: bool) -> OwnShards:
    """Give each device the connections between its inputs and its targets.

    Args:
        places: Where the devices have them.
        delays: Delay of each in steps.
        traced: Whether each has a trace; otherwise targets have.
        spiking: Whether each has a spike.
    """
    (inputs, targets), devices = places.own, places.devices
    lead, size = places.post % max(targets, 1), targets
    if traced:
        size = inputs * places.width
        lead = places.sums % max(size, 1)
    steps = int(delays.max(initial=0)) + 1
    most = places.most
    order = np.full((devices, most), -1, np.int32)
    order.reshape(-1)[places.entries] = np.arange(len(places.pre))
    there, chosen = order >= 0, np.maximum(order, 0)
    local = np.where(there, places.pre[chosen] % max(inputs, 1), 0) if most else order
    # Padding that never spikes may have any place; other padding must be added to no sum.
    nowhere = 0 if spiking else steps * size
    led_to = np.where(there, (delays * size + lead)[chosen], nowhere) if most else order
    if spiking:
        rows, starts = StoredRows(most, size, most, steps=steps), np.zeros(devices, np.int32)
    else:
        rows = StoredRows(inputs, size, most, steps=steps)
        indptr = np.zeros((devices, inputs + 1), np.int32)
        for each in range(devices):
            lengths = np.bincount(local[each][there[each]], minlength=inputs)
            indptr[each, 1:] = np.cumsum(lengths)
        starts = indptr.reshape(-1)
    narrow = np.uint16 if steps * size < 1 << 16 else np.int32
    flat = led_to.astype(narrow).reshape(-1)
    return OwnShards(rows, starts, flat, order.reshape(-1), local.astype(np.int32).reshape(-1))


@dataclasses.dataclass(frozen=True)
class Selecting(Stage):
    """A projection whose devices each read the spikes of their own connections.

    Attributes:
        stage: The projection.
        partition: Which axis of the mesh cuts what.
        spikes: How spikes in the order of devices are cut.
    """

    stage: Any
    partition: Partition
    spikes: Names

    def begin(self, parameters: Any, state: Any) -> tuple[SelectingRun, Carry]:
        run, carry = self.stage.begin(parameters._replace(order=None), state)
        return SelectingRun(self, run, parameters.order), carry


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SelectingRun(Run):
    """A `Selecting` with its parameters."""

    selecting: Selecting = dataclasses.field(metadata={"static": True})
    run: Any
    order: Array

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        found: tuple[Carry, Array] = self.run.step(carry, self._selected(x))
        return found

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        found: tuple[Carry, Array] = self.run.scan(carry, self._selected(xs), method, lengths)
        return found

    def chunk(self, time: int) -> int:
        steps: int = self.run.chunk(time)
        return steps

    def _selected(self, x: Array) -> Array:
        if not x.shape[-1]:
            return jnp.zeros((*x.shape[:-1], len(self.order)), x.dtype)
        chosen = jnp.take(x, jnp.maximum(self.order, 0), axis=-1)
        return jnp.where(self.order >= 0, chosen, jnp.zeros((), x.dtype))


@dataclasses.dataclass(frozen=True)
class TotalOfShards(TotalOfConnections):
    """The total where devices have the traces of their own connections.

    Attributes:
        partition: Which axis of the mesh cuts what.
        local: What a device adds up, of the traces that it has.
        traces: How traces are cut.
        sums: How the sums of targets are cut.
    """

    partition: Partition
    local: TotalOfConnections
    traces: Names
    sums: Names

    def summed(self, targets: Array, traces: Array) -> Array:
        """Each device adds up its own; over inputs, those of several are added up."""
        axis, time = self.partition.inputs, (None,) * (traces.ndim - len(self.traces))

        def local(targets: Array, traces: Array) -> Array:
            sums = self.local.summed(targets, traces)
            return sums if axis is None else jax.lax.psum(sums, axis)

        found: Array = jax.shard_map(
            local,
            mesh=self.partition.mesh,
            in_specs=(PartitionSpec(*self.partition.kernel), PartitionSpec(*time, *self.traces)),
            out_specs=PartitionSpec(*time, *self.sums),
            check_vma=False,  # sums start from zeros, which are everywhere alike
        )(targets, traces)
        return found

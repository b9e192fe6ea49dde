"""`Matrix`: the holder of a projection - weights, connections, and sums on their way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, ArrayLike, Int

from spark.core.internal import CheckedModule
from spark.core.tracers import Constant
from spark.nn.payloads import FloatArray

from ._by_device import ByDevice
from ._connect import pairs
from ._kernel import as_kernel, inputs_first
from ._own import Read
from ._own_shards import OwnShards
from ._projections.base import Kernel
from ._projections.rows import DrawnRows, Rows, StoredRows
from ._sharding import names_of
from ._shards import (
    Shards,
    compiled,
    drawn_shards,
    from_devices,
    of_other_grid,
    pairs_of_all,
    spread,
    stored_shards,
    to_devices,
    weights_of_all,
    weights_of_devices,
)
from ._stages.delay import DelayLine
from ._stages.ring import RingBuffer
from .partition import Names, Partition


class Matrix(CheckedModule):
    """The holder of the weights of the connections, and of which connections there are.

    Attributes:
        weights: The kernel as a matrix (inputs, targets), so that the weights of an input lie side
            by side; along rows, one axis, input by input. An `nnx.Param`.
        gains: Scales that vary over inputs, by name, as matrices (inputs, targets) with axes whole
            or of size 1, or along rows with one entry per connection; the others are those of the
            tracer.
        groups: Which group of inputs with one time constant each input belongs to, if any.
        adjacency: What rows of connections are read from; none if every input reaches every target.
        ends: Input and target of each connection, where connections have traces or spikes of their
            own and rows do not tell; none otherwise.
        pending: Sums on their way, where each connection has its delay, or None.
        units: Shape of the targets; static.
        inputs: Shape of the inputs; static.
        async_spikes: Whether each connection has its own spike; static.
        rows: Which connections there are; None if every input reaches every target; static.
        own: For each entry of the arrays of all devices, the index that this connection has without
            a partition, and its input; where connections have traces or spikes of their own, on
            several devices; none otherwise.
        partition: How the weights are sharded; None keeps them whole; static.
        shards: The rows as devices have them, where weights along rows and adjacency are those of
            all devices, one after the other; None where they are in the order of users; static.
    """

    described: ClassVar[Mapping[str, str]] = {"rows": "rows."}
    """Static attributes whose fields a checkpoint must share, and the prefix of these fields."""

    weights: nnx.Param[Array]
    gains: dict[str, nnx.Variable[Array]]
    groups: Constant | None
    adjacency: list[Constant]
    ends: list[Constant]
    own: list[Constant]
    rows: Rows | None
    pending: DelayLine | None
    shards: Shards | None

    def __init__(
        self,
        units: tuple[int, ...],
        inputs: tuple[int, ...],
        weights: Any,
        read_as: Read,
        async_spikes: bool,
        partition: Partition | None,
    ) -> None:
        """Keep weights and connections; what a tracer asks for is added by `build`."""
        self.units, self.inputs, self.partition = units, inputs, partition
        self.async_spikes, found = async_spikes, read_as.connections
        self.rows = None if found is None else found.rows
        self.adjacency = nnx.data(
            [Constant(each) for each in (() if found is None else found.adjacency)]
        )
        self.ends = nnx.data([Constant(jnp.asarray(each)) for each in read_as.ends or ()])
        self.gains, self.groups, self.pending = nnx.data({}), nnx.data(None), nnx.data(None)
        self.shards = None
        self.own = nnx.data([])
        self._whole: tuple[tuple[str, str], ...] = ()
        self.weights = nnx.Param(weights)

    def shard(self, by_device: ByDevice | None, own: OwnShards | None) -> None:
        """Lay connections out for the devices of the partition; done once, by `build`.

        Args:
            by_device: How they are laid out already; None if they are not.
            own: The connections as devices have them, if they have traces or spikes of their own.
        """
        if self.partition is None or self.rows is None or self.partition.grid == (1, 1):
            return
        first, second = (each.get_value() for each in self.adjacency)
        grid, order = self.partition.grid, None
        arrays = {f"adjacency.{i}": each for i, each in enumerate((first, second))}
        arrays |= {"weights": self.weights.get_value()}
        arrays |= {f"gains.{name}": each.get_value() for name, each in self.gains.items()}
        arrays |= {} if self.groups is None else {"groups": self.groups.get_value()}
        whole = {name: f"{each.dtype}{list(each.shape)}" for name, each in arrays.items()}
        if by_device is not None:
            whole |= by_device.described(arrays)
        self._whole = tuple(whole.items())
        if own is not None:
            self._shard_own(own)
            return
        if by_device is not None:
            self.shards = by_device.shards
            return
        if isinstance(self.rows, DrawnRows):
            self.shards, adjacency = drawn_shards(self.rows, (first, second), grid)
        else:
            assert isinstance(self.rows, StoredRows)
            by_delay = self.weights.get_value().ndim == 1
            with jax.ensure_compile_time_eval():  # they are concrete, also inside jit
                found = stored_shards(self.rows, (first, second), grid, by_delay)
            self.shards, adjacency, order = found
        for variable, each in zip(self.adjacency, adjacency, strict=True):
            variable.set_value(each)
        for weights in (self.weights, *self.gains.values()):
            if order is not None and weights.get_value().ndim == 1:
                weights.set_value(spread(weights.get_value(), order))

    def _shard_own(self, own: OwnShards) -> None:
        for variable, each in zip(self.adjacency, (own.starts, own.places), strict=True):
            variable.set_value(jnp.asarray(each))
        for weights in (self.weights, *self.gains.values()):
            if weights.get_value().ndim == 1:
                weights.set_value(spread(weights.get_value(), own.order))
        if self.groups is not None and self.async_spikes:
            self.groups.set_value(spread(self.groups.get_value(), own.order))
        self.own = nnx.data([Constant(jnp.asarray(each)) for each in (own.order, own.pre)])

    @property
    def layout(self) -> list[int] | None:
        """Over how many devices connections are laid out, along inputs and targets; None if whole.

        As a checkpoint keeps it, which is read into any other layout.
        """
        if self.own:
            assert self.partition is not None
            return list(self.partition.grid)
        return None if self.shards is None else list(self.shards.grid)

    @property
    def described_arrays(self) -> dict[str, str | None]:
        """Dtypes and shapes as a checkpoint compares them: those without a partition."""
        about: dict[str, str | None] = dict(self._whole)
        about |= {f"own.{i}": None for i in range(len(self.own))}
        if self.pending is not None and self.rows is not None and self.layout is not None:
            slots = self.pending.slots.get_value()
            shape = [*slots.shape[:-2], self.rows.steps, self.rows.targets]
            about["pending.slots"] = f"{slots.dtype}{shape}"
        return about

    def of_other_grid(self, arrays: dict[str, Any], grid: tuple[int, int]) -> dict[str, Any]:
        """Arrays of a checkpoint of another grid, or with other connections, as this one has them.

        Connections have no traces or spikes of their own; those that have are moved as a whole.
        """
        if self.rows is None:
            return arrays
        found, self.shards = of_other_grid(arrays, self.rows, self.shards, grid)
        return found

    @property
    def kernel(self) -> FloatArray:
        """The weights in the order of users: of shape `units + input_shape`, or along rows."""
        value = self.weights.get_value()
        if value.ndim > 1:
            return FloatArray(value.T.reshape(self.units + self.inputs))
        if self.own:
            value = self._moved(from_devices, value, ())
        elif isinstance(self.rows, StoredRows) and self.shards is not None:
            value = self._of_all(weights_of_all, value)
        return FloatArray(value)

    @kernel.setter
    def kernel(self, kernel: ArrayLike | FloatArray) -> None:
        value = self.weights.get_value()
        weights: Any
        if value.ndim > 1:
            checked = as_kernel("kernel", kernel, self.units + self.inputs, value.dtype)
            weights = inputs_first(checked, len(self.units))
        else:
            assert self.rows is not None
            shape = (self.rows.weights,)
            weights = as_kernel("kernel", kernel, shape, value.dtype, "(connections,)")
            if self.own:
                weights = self._moved(to_devices, jnp.asarray(weights), names_of(self).weights[0])
            elif isinstance(self.rows, StoredRows) and self.shards is not None:
                weights = self._of_all(weights_of_devices, jnp.asarray(weights))
        if self.partition is None:
            self.weights.set_value(jnp.asarray(weights))
        else:
            self.weights.set_value(weights)
            self.partition.place(self.weights, names_of(self).weights[0])

    @property
    def connections(self) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of each connection."""
        if self.ends:
            pre, post = self.ends
            return pre.get_value(), post.get_value()
        if isinstance(self.rows, StoredRows) and self.shards is not None:
            found: tuple[Array, Array] = self._of_all(pairs_of_all)
            return found
        if self.rows is not None:
            first, second = (each.get_value() for each in self.adjacency)
            return pairs(self.rows, (first if self.shards is None else first[:2], second))
        shape = math.prod(self.inputs), math.prod(self.units)
        pre, post = jnp.indices(shape, dtype=jnp.int32)
        return pre.reshape(-1), post.reshape(-1)

    @property
    def spikes_shape(self) -> tuple[int, ...]:
        """Shape of the spikes of one step, without batch axes."""
        if not self.async_spikes:
            return self.inputs
        return self.units + self.inputs if self.rows is None else (self.rows.inputs,)

    def _moved(self, move: Any, values: Array, names: Names) -> Array:
        """Weights of connections that devices have in an order of their own, or in that."""
        assert self.partition is not None
        assert self.rows is not None
        run = compiled(move, self.partition.sharding(names))
        found: Array = run(self.rows.weights, self.own[0].get_value(), values)
        return found

    def _of_all(self, read: Any, *values: Array) -> Any:
        """What a function reads of the connections of all devices, on each of these."""
        assert self.partition is not None
        run = compiled(read, self.partition.sharding(()))
        return run(self.shards, tuple(each.get_value() for each in self.adjacency), *values)

    def _checked_value(self, name: str, value: Any) -> Array | None:
        if name != "weights":
            return None
        given = value.get_value() if isinstance(value, nnx.Variable) else value
        present = self.weights.get_value()
        axes = "(inputs, targets)"
        return jnp.asarray(as_kernel(name, given, present.shape, present.dtype, axes))

    @property
    def parameters(self) -> Kernel:
        """The kernel of the projection."""
        gains = [_read(gain) for gain in self.gains.values()]
        groups = None if self.groups is None else _read(self.groups)
        adjacency: Any = tuple([_read(each) for each in self.adjacency]) or None
        pre = order = None
        if self.ends and self.async_spikes:
            order, pre = map(_read, self.own) if self.own else (None, _read(self.ends[0]))
        return Kernel((_read(self.weights), *gains), groups, adjacency, pre, order)

    @property
    def state(self) -> RingBuffer | None:
        """The ring buffer, if there is one."""
        return None if self.pending is None else self.pending.state

    def set_state(self, state: RingBuffer | None) -> None:
        if self.pending is not None and state is not None:
            self.pending.set_state(state)

    def reset(self) -> None:
        """Forget what is on its way; weights stay as they are."""
        if self.pending is not None:
            self.pending.reset()


def _read(variable: nnx.Variable[Array]) -> Array:
    """The array in a variable; a plain one without the tree traversal of `get_value`."""
    value = variable.get_raw_value()
    return value if isinstance(value, jax.Array) else variable.get_value()

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

from ._connect import pairs
from ._kernel import as_kernel, inputs_first
from ._own import Read
from ._projections.base import Kernel
from ._projections.rows import Rows
from ._stages.delay import DelayLine
from ._stages.ring import RingBuffer
from .partition import Partition


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
        partition: How the weights are sharded; None keeps them whole; static.
    """

    described: ClassVar[Mapping[str, str]] = {"rows": "rows."}
    """Static attributes whose fields a checkpoint must share, and the prefix of these fields."""

    weights: nnx.Param[Array]
    gains: dict[str, nnx.Variable[Array]]
    groups: Constant | None
    adjacency: list[Constant]
    ends: list[Constant]
    rows: Rows | None
    pending: DelayLine | None

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
        self.weights = nnx.Param(weights)

    @property
    def kernel(self) -> FloatArray:
        """The weights in the order of users: of shape `units + input_shape`, or along rows."""
        value = self.weights.get_value()
        along_rows = value.ndim == 1
        return FloatArray(value if along_rows else value.T.reshape(self.units + self.inputs))

    @kernel.setter
    def kernel(self, kernel: ArrayLike | FloatArray) -> None:
        value = self.weights.get_value()
        if value.ndim == 1:
            checked = as_kernel("kernel", kernel, value.shape, value.dtype, "(connections,)")
            self.weights.set_value(jnp.asarray(checked))
            return
        checked = as_kernel("kernel", kernel, self.units + self.inputs, value.dtype)
        matrix = inputs_first(checked, len(self.units))
        if self.partition is None:
            self.weights.set_value(jnp.asarray(matrix))
        else:
            self.weights.set_value(matrix)
            self.partition.place(self.weights, self.partition.kernel)

    @property
    def connections(self) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of each connection."""
        if self.ends:
            pre, post = self.ends
            return pre.get_value(), post.get_value()
        if self.rows is not None:
            first, second = self.adjacency
            return pairs(self.rows, (first.get_value(), second.get_value()))
        shape = math.prod(self.inputs), math.prod(self.units)
        pre, post = jnp.indices(shape, dtype=jnp.int32)
        return pre.reshape(-1), post.reshape(-1)

    @property
    def spikes_shape(self) -> tuple[int, ...]:
        """Shape of the spikes of one step, without batch axes."""
        if not self.async_spikes:
            return self.inputs
        return self.units + self.inputs if self.rows is None else (self.rows.inputs,)

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
        pre = _read(self.ends[0]) if self.ends and self.async_spikes else None
        return Kernel((_read(self.weights), *gains), groups, adjacency, pre)

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

"""Stages on several devices: each projects between its own inputs and targets."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array

from spark.core.tracers import Recurrence, State

from ..partition import Names, Partition, cut
from .base import Carry, Function, Stage


@dataclasses.dataclass(frozen=True)
class Sharded(Function):
    """A projection in which each device multiplies what it has.

    Attributes:
        projection: The whole projection.
        partition: Which axis of the mesh cuts what.
        spikes: How its input is cut, time apart.
        sums: How its output is cut, likewise.
    """

    projection: Any
    partition: Partition
    spikes: Names
    sums: Names

    def apply(self, parameters: Any, carry: Carry, x: Array) -> tuple[Carry, Array]:
        partition = self.partition
        own = self.projection.shard(partition)

        def local(kernel: Any, carry: Carry, spikes: Array) -> tuple[Carry, Array]:
            carry, sums = own.apply(kernel, carry, spikes)
            return carry, sums if partition.inputs is None else lax.psum(sums, partition.inputs)

        time = (None,) * (x.ndim - len(self.spikes))
        weights = tuple(PartitionSpec(*cut(w.shape, partition.kernel)) for w in parameters.weights)
        kernel = type(parameters)(weights, PartitionSpec(partition.inputs))
        found: tuple[Carry, Array] = jax.shard_map(
            local,
            mesh=partition.mesh,
            in_specs=(kernel, PartitionSpec(), PartitionSpec(*time, *self.spikes)),
            out_specs=(PartitionSpec(), PartitionSpec(*time, *self.sums)),
            check_vma=False,  # loops start from zeros, which are everywhere alike
        )(parameters, carry, x)
        return found

    def chunk(self, parameters: Any, time: int) -> int:
        steps: int = self.projection.chunk(parameters, time)
        return steps


@dataclasses.dataclass(frozen=True)
class Placed(Stage):
    """A recurrence whose traces stay where they are, however the compiler would place them.

    Attributes:
        recurrence: The recurrence.
        partition: Which axis of the mesh cuts what.
        traces: How traces are cut.
    """

    recurrence: Recurrence[Any]
    partition: Partition
    traces: Names

    def begin(self, parameters: Any, state: State) -> tuple[Any, State]:
        return self.recurrence.begin(parameters, state)

    def end(self, state: State, carry: State) -> State:
        after, where = self.recurrence.end(state, carry), self.partition.sharding(self.traces)
        pinned = tuple(lax.with_sharding_constraint(trace, where) for trace in after.traces)
        return after._replace(traces=pinned)

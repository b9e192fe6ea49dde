"""Stages on several devices: each device runs them on its own inputs and targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from spark.core.tracers import Method, State

from ..partition import Names, Partition
from .base import Carry, Run, Stage


@dataclasses.dataclass(frozen=True)
class Sharded(Stage):
    """A stage whose state is its carry, run by each device on its own part of the arrays.

    Attributes:
        stage: The stage as each device runs it.
        partition: Which axis of the mesh cuts what.
        parameters: How its parameters are cut: a tree of specifications.
        state: How its state is cut, likewise.
        x: How its input is cut, time apart.
        y: How its output is cut, likewise.
        total: Axis of the mesh along which the outputs are added up; None without.
    """

    stage: Any
    partition: Partition
    parameters: Any
    state: Any
    x: Names
    y: Names
    total: str | None = None

    def begin(self, parameters: Any, state: Any) -> tuple[ShardedRun, Carry]:
        return ShardedRun(self, parameters), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ShardedRun(Run):
    """A `Sharded` with its parameters."""

    sharded: Sharded = dataclasses.field(metadata={"static": True})
    parameters: Any

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        return self._on_devices(lambda run, carry, x, _: run.step(carry, x), (), carry, x)

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        def take(run: Any, carry: Carry, xs: Array, lengths: Any) -> Any:
            return run.scan(carry, xs, method, lengths)

        return self._on_devices(take, (None,), carry, xs, lengths)

    def chunk(self, time: int) -> int:
        """As many steps as a device would take at once of what it has."""
        sharded = self.sharded

        def part(array: Array, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
            where = NamedSharding(sharded.partition.mesh, spec)
            return jax.ShapeDtypeStruct(where.shard_shape(array.shape), array.dtype)

        own = jax.tree.map(part, self.parameters, sharded.parameters)
        steps: int = sharded.stage.begin(own, None)[0].chunk(time)
        return steps

    def _on_devices(
        self,
        take: Callable[..., Any],
        time: tuple[None, ...],
        carry: Carry,
        x: Array,
        lengths: Array | None = None,
    ) -> tuple[Carry, Array]:
        """One step or several of each device; the arithmetic of the stage sees its part alone."""
        sharded = self.sharded

        def local(parameters: Any, carry: Carry, x: Array, lengths: Any) -> tuple[Carry, Array]:
            run, carry = sharded.stage.begin(parameters, carry)
            carry, y = take(run, carry, x, lengths)
            return carry, y if sharded.total is None else lax.psum(y, sharded.total)

        each = PartitionSpec(*sharded.x[: 0 if lengths is None else lengths.ndim])
        mapped = jax.shard_map(
            local,
            mesh=sharded.partition.mesh,
            in_specs=(sharded.parameters, sharded.state, PartitionSpec(*time, *sharded.x), each),
            out_specs=(sharded.state, PartitionSpec(*time, *sharded.y)),
            check_vma=False,  # loops start from zeros, which are everywhere alike
        )
        if not x.size:  # nothing comes in, and XLA fails on empty arrays of several devices
            _, y = jax.eval_shape(mapped, self.parameters, carry, x, lengths)
            where = sharded.partition.sharding((*time, *sharded.y))
            return carry, lax.with_sharding_constraint(jnp.zeros(y.shape, y.dtype), where)
        found: tuple[Carry, Array] = mapped(self.parameters, carry, x, lengths)
        return found


@dataclasses.dataclass(frozen=True)
class Placed(Stage):
    """A stage of traces that stay where they are, however the compiler would place them.

    Attributes:
        stage: A recurrence, or the release by one.
        partition: Which axis of the mesh cuts what.
        traces: How traces are cut, and the input of a step.
    """

    stage: Any
    partition: Partition
    traces: Names

    def begin(self, parameters: Any, state: State) -> tuple[PlacedRun, State]:
        run, carry = self.stage.begin(parameters, state)
        return PlacedRun(self, run), carry

    def end(self, state: State, carry: State) -> State:
        after, where = self.stage.end(state, carry), self.partition.sharding(self.traces)
        pinned = tuple(lax.with_sharding_constraint(trace, where) for trace in after.traces)
        return after._replace(traces=pinned)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PlacedRun(Run):
    """A `Placed` with the run of its stage."""

    placed: Placed = dataclasses.field(metadata={"static": True})
    run: Any

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        found: tuple[Carry, Array] = self.run.step(carry, self._placed(x))
        return found

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        placed = self._placed(xs, None)
        found: tuple[Carry, Array] = self.run.scan(carry, placed, method, lengths)
        return found

    def chunk(self, time: int) -> int:
        steps: int = self.run.chunk(time)
        return steps

    def _placed(self, x: Array, *time: None) -> Array:
        # Spikes cross between devices before they release.
        where = self.placed.partition.sharding((*time, *self.placed.traces))
        return lax.with_sharding_constraint(x, where)

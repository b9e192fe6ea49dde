"""From spikes to currents, as pure functions: a projection, then the recurrence of a tracer."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from spark.core.tracers import Method, Recurrence, State
from spark.core.tracers.rounding import arithmetic_dtype, limit

from .layout import Sharing
from .partition import Names, Partition
from .projection import Way, Weights, contributions, project

_DRIVE = 1 << 20
"""Elements that the drive of a chunk may have, where inputs come in groups: 4 MB of float32."""


class Arrays(NamedTuple):
    """What a pathway computes with, its state apart.

    Attributes:
        weights: The kernel, inputs first, and the scales that vary over inputs.
        groups: Which group each input belongs to; None without groups.
        base: Added once per target, unless the tracer does; of shape `units` or a scalar, or None.
        tracer: Parameters of the recurrence; None without one.
    """

    weights: Weights
    groups: Array | None
    base: Array | None
    tracer: Any


@dataclasses.dataclass(frozen=True)
class Pathway:
    """What is static on the way from spikes to currents.

    Attributes:
        units: Shape of the targets.
        inputs: Shape of the inputs.
        async_spikes: Whether each connection has its own spike.
        dtype: Dtype of the currents.
        way: How to project.
        sharing: What has a trace of its own.
        lead: Axes of a trace before those of the targets.
        recurrence: What a trace obeys; None passes the drive on.
        batch: Number of batch axes.
        partition: How the arrays are cut over devices; None keeps them whole.
    """

    units: tuple[int, ...]
    inputs: tuple[int, ...]
    async_spikes: bool
    dtype: jnp.dtype
    way: Way
    sharing: Sharing = "target"
    lead: tuple[int, ...] = ()
    recurrence: Recurrence[Any] | None = None
    batch: int = 0
    partition: Partition | None = None

    @property
    def kernel(self) -> tuple[int, ...]:
        """Shape of the kernel, as it is seen."""
        return self.units + self.inputs

    @property
    def spikes(self) -> tuple[int, ...]:
        """Shape of the spikes of a step, without a batch."""
        return self.kernel if self.async_spikes else self.inputs

    @property
    def cut(self) -> Names:
        """How a trace is cut over devices."""
        if self.partition is None:
            return ()
        lead: Names = (None,) * len(self.lead)
        if self.sharing == "synapse":
            lead = (self.partition.inputs, *lead[1:])
        return self.partition.traces(self.batch, lead, len(self.units))

    def step(
        self, arrays: Arrays, state: State | None, spikes: Array
    ) -> tuple[State | None, Float[Array, "*batch *units"]]:
        """Take one step.

        Args:
            arrays: Weights and parameters.
            state: State of the recurrence, of shape `(*batch, *lead, *units)`; None without one.
            spikes: Signed spikes, of shape `(*batch, *spikes)`.

        Returns:
            The state after the step, and the currents.
        """
        return self._placed(*self._respond(arrays, state, self.drive(arrays, spikes)))

    def scan(
        self, arrays: Arrays, state: State | None, spikes: Array, method: Method = "auto"
    ) -> tuple[State | None, Float[Array, "time *batch *units"]]:
        """Take one step per leading entry of `spikes`.

        The whole sequence is projected first, and then traced, so that each can be done in the way
        that is fastest for it. A trace per synapse is driven step by step instead: its drive would
        be as large as the kernel, for each step.

        Args:
            arrays: Weights and parameters.
            state: As in `step`.
            spikes: Signed spikes, of shape `(time, *batch, *spikes)`.
            method: How to run the recurrence over time, as in `Tracer.scan`. A trace per synapse
                is sequential.

        Returns:
            The state after the last step, and the currents of all steps.
        """
        recurrence = self.recurrence
        if recurrence is None or state is None:
            return self.step(arrays, state, spikes)
        if self.sharing != "synapse":
            return self._placed(*self._in_chunks(arrays, state, spikes, method))

        # Between steps the traces stay in the arithmetic dtype, for the sake of their gradients.
        dtype, k, start = recurrence.prepare(arrays.tracer, state)

        def body(carry: Any, spikes: Array) -> tuple[Any, Array]:
            before, noise = carry
            after, y = recurrence.advance(k, dtype, before, noise, self.drive(arrays, spikes))
            noise = noise._replace(steps=noise.steps + jnp.uint32(1))
            return (after, noise), self._currents(arrays, y.astype(dtype))

        (last, noise), currents = lax.scan(body, (start, state.noise), spikes)
        state = State(tuple(trace.astype(dtype) for trace in last), noise)
        return self._placed(state, currents)

    def _placed(self, state: State | None, currents: Array) -> tuple[State | None, Array]:
        """A state that stays where it is, however the compiler would place it."""
        if self.partition is None or state is None:
            return state, currents
        where = self.partition.sharding(self.cut)
        traces = tuple(lax.with_sharding_constraint(trace, where) for trace in state.traces)
        return state._replace(traces=traces), currents

    def _in_chunks(
        self, arrays: Arrays, state: State, spikes: Array, method: Method
    ) -> tuple[State, Array]:
        """A scan chunk by chunk, so that no drive of many groups is much larger than the spikes."""
        recurrence = self.recurrence
        assert recurrence is not None

        def chunk(state: State, spikes: Array) -> tuple[State, Array]:
            drive = self.drive(arrays, spikes)
            state, traces = recurrence.scan(arrays.tracer, state, drive, method)
            return state, self._currents(arrays, traces)

        time, traces = len(spikes), max(1, state.traces[0].size)
        size = max(1, _DRIVE // traces) if self.sharing == "group" else time
        if size >= time:
            return chunk(state, spikes)
        chunks = time // size
        head = spikes[: chunks * size].reshape(chunks, size, *spikes.shape[1:])
        state, currents = lax.scan(chunk, state, head)
        currents = currents.reshape(chunks * size, *currents.shape[2:])
        if time % size:
            state, tail = chunk(state, spikes[chunks * size :])
            currents = jnp.concatenate([currents, tail])
        return state, currents

    def drive(self, arrays: Arrays, spikes: Array) -> Float[Array, "*front *lead *units"]:
        """What drives each trace, in the wider arithmetic dtype of kernel and currents.

        Args:
            arrays: Weights and parameters.
            spikes: Signed spikes, of shape `(*front, *spikes)`.
        """
        front = spikes.shape[: spikes.ndim - len(self.spikes)]
        inputs, targets = math.prod(self.inputs), math.prod(self.units)
        weights, groups = arrays.weights, arrays.groups
        if self.async_spikes:
            flat = jnp.swapaxes(spikes.reshape(*front, targets, inputs), -1, -2)
        else:
            flat = spikes.reshape(*front, inputs)

        if self.sharing == "synapse":
            spikes = flat if self.async_spikes else flat[..., None]
            drive = contributions(weights, spikes, self._wide(weights))
        elif self.sharing == "group" and groups is not None:
            # Each group sees the spikes of its own inputs.
            members = jnp.arange(self.lead[0], dtype=groups.dtype)[:, None] == groups[None]
            if self.async_spikes:
                members, flat = members[..., None], flat[..., None, :, :]
            else:
                flat = flat[..., None, :]
            members = jnp.expand_dims(members, tuple(range(len(front))))
            flat = jnp.where(members, flat, jnp.zeros((), flat.dtype))
            drive = self._sums(weights, flat, len(front))
        else:
            drive = self._sums(weights, flat, len(front))
        return drive.reshape(*front, *self.lead, *self.units)

    def _sums(self, weights: Weights, spikes: Array, front: int) -> Array:
        """Sums over inputs; the batch axes are the last of `front` leading ones."""
        wide = self._wide(weights)
        if self.async_spikes:
            return jnp.sum(contributions(weights, spikes, wide), axis=-2)

        def sums(weights: Weights, spikes: Array) -> Array:
            return project(weights, spikes, self.way, wide)

        if self.partition is None:
            return sums(weights, spikes)
        return self.partition.project(sums, weights, spikes, front - self.batch)

    def _wide(self, weights: Weights) -> jnp.dtype:
        """The wider one of the dtypes of kernel and currents."""
        dtypes = arithmetic_dtype(weights[0].dtype), arithmetic_dtype(self.dtype)
        return max(dtypes, key=lambda dtype: dtype.itemsize)

    def _respond(
        self, arrays: Arrays, state: State | None, drive: Array
    ) -> tuple[State | None, Array]:
        if self.recurrence is None or state is None:
            return state, self._stored(drive)
        state, traces = self.recurrence.step(arrays.tracer, state, drive)
        return state, self._currents(arrays, traces)

    def _currents(self, arrays: Arrays, traces: Array) -> Array:
        """The sum of the traces of each target, and its base."""
        if self.sharing == "target":
            return traces
        last = traces.ndim - len(self.units)
        wide = arithmetic_dtype(self.dtype)
        total = jnp.sum(traces.astype(wide), axis=tuple(range(last - len(self.lead), last)))
        if arrays.base is not None:
            base = arrays.base.astype(wide)
            total = total + jnp.broadcast_to(base, total.shape)
        return self._stored(total)

    def _stored(self, currents: Array) -> Array:
        """Currents in their dtype: what it cannot hold is limited, what is infinite stays so."""
        largest = float(jnp.finfo(self.dtype).max)
        limited = limit(currents, (-largest, largest))
        return jnp.where(jnp.isinf(currents), currents, limited).astype(self.dtype)

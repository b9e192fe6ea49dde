"""From spikes to currents, as pure functions: release, delay, projection, then a tracer."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from spark.core.tracers import Method, Recurrence, State
from spark.core.tracers.maps import clip
from spark.core.tracers.rounding import arithmetic_dtype, limit

from .delays import Ring, delay, delay_over_time
from .layout import Sharing
from .partition import Names, Partition
from .projection import Way, Weights, contributions, project
from .rows import DelayedRows, Rows, Wires
from .sparse import project_rows

_DRIVE = 1 << 20
"""Elements that the drive of a chunk may have, where inputs come in groups: 4 MB of float32."""


class Arrays(NamedTuple):
    """What a pathway computes with, its state apart.

    Attributes:
        weights: The kernel, inputs first, and the scales that vary over inputs. Along rows, the
            kernel has one axis, and a scale one for the connections, or two as (inputs, 1).
        groups: Which group each input belongs to; None without groups.
        base: Added once per target, unless the tracer does; of shape `units` or a scalar, or None.
        tracer: Parameters of the recurrence; None without one.
        wires: What rows are read from; none without rows.
        delays: Delays of the inputs in steps, a scalar or of shape `(inputs,)`; None without.
        release: Parameters of the recurrence of the inputs; None without one.
    """

    weights: Weights
    groups: Array | None
    base: Array | None
    tracer: Any
    wires: Wires = ()
    delays: Array | None = None
    release: Any = None


class SynapseState(NamedTuple):
    """What changes from step to step; None for what a pathway does not have.

    Attributes:
        tracer: State of the recurrence, of shape `(*batch, *lead, *units)`.
        release: State of the recurrence of the inputs, of shape `(*batch, *inputs)`.
        spikes: Spikes on their way, in places of shape `(steps, *batch, inputs)`.
        drive: Drive on its way, in places of shape `(*batch, *lead, steps, targets)`.
    """

    tracer: State | None = None
    release: State | None = None
    spikes: Ring | None = None
    drive: Ring | None = None


@dataclasses.dataclass(frozen=True)
class Pathway:
    """What is static on the way from spikes to currents.

    Attributes:
        units: Shape of the targets.
        inputs: Shape of the inputs.
        async_spikes: Whether each connection has its own spike.
        dtype: Dtype of the currents.
        way: How to project.
        rows: Who reaches whom; None if every input reaches every target.
        release: What the inputs obey before they are projected; None passes spikes on.
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
    rows: Rows | None = None
    release: Recurrence[Any] | None = None
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
        self, arrays: Arrays, state: SynapseState, spikes: Array
    ) -> tuple[SynapseState, Float[Array, "*batch *units"]]:
        """Take one step.

        Args:
            arrays: Weights and parameters.
            state: The state.
            spikes: Signed spikes, of shape `(*batch, *spikes)`.

        Returns:
            The state after the step, and the currents.
        """
        state, spikes = self._arrive(arrays, state, spikes)
        state, drive = self.drive(arrays, state, spikes)
        state, currents = self._respond(arrays, state, drive)
        return self._placed(state), currents

    def scan(
        self, arrays: Arrays, state: SynapseState, spikes: Array, method: Method = "auto"
    ) -> tuple[SynapseState, Float[Array, "time *batch *units"]]:
        """Take one step per leading entry of `spikes`.

        The whole sequence is released and delayed, then projected, and then traced, so that each
        can be done in the way that is fastest for it. A trace per synapse is driven step by step
        instead: its drive would be as large as the kernel, for each step.

        Args:
            arrays: Weights and parameters.
            state: As in `step`.
            spikes: Signed spikes, of shape `(time, *batch, *spikes)`.
            method: How to run the recurrences over time, as in `Tracer.scan`. A trace per synapse
                is sequential.

        Returns:
            The state after the last step, and the currents of all steps.
        """
        state, spikes = self._arrive(arrays, state, spikes, method)
        recurrence, tracer = self.recurrence, state.tracer
        if recurrence is None or tracer is None:
            state, drive = self._drive_over_time(arrays, state, spikes)
            return self._placed(state), self._stored(drive)
        if self.sharing != "synapse":
            state, currents = self._in_chunks(arrays, state, spikes, method)
            return self._placed(state), currents

        # Between steps the traces stay in the arithmetic dtype, for the sake of their gradients.
        dtype, k, start = recurrence.prepare(arrays.tracer, tracer)

        def body(carry: Any, spikes: Array) -> tuple[Any, Array]:
            before, noise = carry
            _, drive = self.drive(arrays, SynapseState(), spikes)
            after, y = recurrence.advance(k, dtype, before, noise, drive)
            noise = noise._replace(steps=noise.steps + jnp.uint32(1))
            return (after, noise), self._currents(arrays, y.astype(dtype))

        (last, noise), currents = lax.scan(body, (start, tracer.noise), spikes)
        tracer = State(tuple(trace.astype(dtype) for trace in last), noise)
        return self._placed(state._replace(tracer=tracer)), currents

    def _arrive(
        self, arrays: Arrays, state: SynapseState, spikes: Array, method: Method | None = None
    ) -> tuple[SynapseState, Array]:
        """Spikes as they reach the connections: released, then delayed; over time by a method."""
        wide = arithmetic_dtype(self.dtype)
        if self.release is not None and state.release is not None:
            # What a silent input would release has a derivative too.
            inhibits = None if spikes.dtype == bool else _is_negative(spikes)
            amount = spikes if inhibits is None else jnp.where(inhibits, -spikes, spikes)
            before = arrays.release, state.release, amount
            if method is None:
                release, efficacy = self.release.step(*before)
            else:
                release, efficacy = self.release.scan(*before, method)
            state = state._replace(release=release)
            if amount.dtype != bool:
                amount = clip(amount.astype(wide), 0.0, 1.0)
            spikes = efficacy.astype(wide) * amount.astype(wide)
            spikes = spikes if inhibits is None else jnp.where(inhibits, -spikes, spikes)
        if state.spikes is not None and arrays.delays is not None:
            front = spikes.shape[: spikes.ndim - len(self.inputs)]
            flat = spikes.reshape(*front, math.prod(self.inputs))
            late = delay if method is None else delay_over_time
            ring, flat = late(state.spikes, arrays.delays, flat)
            state = state._replace(spikes=ring)
            spikes = flat.reshape(*front, *self.inputs)
        return state, spikes

    def _placed(self, state: SynapseState) -> SynapseState:
        """A state that stays where it is, however the compiler would place it."""
        if self.partition is None or state.tracer is None:
            return state
        where = self.partition.sharding(self.cut)
        traces = tuple(lax.with_sharding_constraint(trace, where) for trace in state.tracer.traces)
        return state._replace(tracer=state.tracer._replace(traces=traces))

    def _in_chunks(
        self, arrays: Arrays, state: SynapseState, spikes: Array, method: Method
    ) -> tuple[SynapseState, Array]:
        """A scan chunk by chunk, so that no drive of many groups is much larger than the spikes."""
        recurrence, tracer = self.recurrence, state.tracer
        assert recurrence is not None
        assert tracer is not None

        def chunk(state: SynapseState, spikes: Array) -> tuple[SynapseState, Array]:
            state, drive = self._drive_over_time(arrays, state, spikes)
            assert state.tracer is not None
            tracer, traces = recurrence.scan(arrays.tracer, state.tracer, drive, method)
            return state._replace(tracer=tracer), self._currents(arrays, traces)

        time, traces = len(spikes), max(1, tracer.traces[0].size)
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

    def _drive_over_time(
        self, arrays: Arrays, state: SynapseState, spikes: Array
    ) -> tuple[SynapseState, Array]:
        """The drive of all steps: at once, unless some of it is on its way between them."""
        if state.drive is None:
            return self.drive(arrays, state, spikes)

        def body(on_way: SynapseState, spikes: Array) -> tuple[SynapseState, Array]:
            return self.drive(arrays, on_way, spikes)

        on_way, drive = lax.scan(body, SynapseState(drive=state.drive), spikes)
        return state._replace(drive=on_way.drive), drive

    def drive(
        self, arrays: Arrays, state: SynapseState, spikes: Array
    ) -> tuple[SynapseState, Float[Array, "*front *lead *units"]]:
        """What drives each trace, in the wider arithmetic dtype of kernel and currents.

        Args:
            arrays: Weights and parameters.
            state: Of which the drive that is on its way is read, and changed.
            spikes: Signed spikes, of shape `(*front, *spikes)`: one step where there is such drive.
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
            return state, drive.reshape(*front, *self.lead, *self.units)
        if self.sharing == "group" and groups is not None:
            # Each group sees the spikes of its own inputs.
            members = jnp.arange(self.lead[0], dtype=groups.dtype)[:, None] == groups[None]
            if self.async_spikes:
                members, flat = members[..., None], flat[..., None, :, :]
            else:
                flat = flat[..., None, :]
            members = jnp.expand_dims(members, tuple(range(len(front))))
            flat = jnp.where(members, flat, jnp.zeros((), flat.dtype))
        if isinstance(self.rows, DelayedRows) and state.drive is not None:
            ring, drive = self._sums_later(arrays, self.rows, state.drive, flat)
            state = state._replace(drive=ring)
        elif self.rows is not None:
            drive = self._sums_along(arrays, self.rows, arrays.wires, flat)
        else:
            drive = self._sums(weights, flat, len(front))
        return state, drive.reshape(*front, *self.lead, *self.units)

    def _sums_along(
        self, arrays: Arrays, rows: Rows, wires: Wires, spikes: Array, into: Array | None = None
    ) -> Array:
        """Sums over inputs along rows of connections, added to what there is."""
        wide = self._wide(arrays.weights)
        kernel, *gains = arrays.weights
        weights = kernel.reshape(-1)
        for gain in gains:
            if gain.ndim == 2:
                each = jnp.expand_dims(gain[:, 0].astype(wide), tuple(range(spikes.ndim - 1)))
                spikes = spikes.astype(wide) * each
            else:
                weights = weights.astype(wide) * gain.astype(wide)
        return project_rows(rows, wires, weights, spikes, wide, self.way, into)

    def _sums_later(
        self, arrays: Arrays, rows: DelayedRows, ring: Ring, spikes: Array
    ) -> tuple[Ring, Array]:
        """Sums that arrive now, while others are put on their way."""
        *lead, steps, targets = ring.places.shape
        before = ring.places.reshape(*lead, steps * targets)
        sums = self._sums_along(arrays, rows, (*arrays.wires, ring.now), spikes, before)
        places = sums.reshape(*lead, steps, targets)
        drive = lax.dynamic_index_in_dim(places, ring.now, len(lead), keepdims=False)
        places = lax.dynamic_update_index_in_dim(places, jnp.zeros_like(drive), ring.now, len(lead))
        return Ring(places, (ring.now + 1) % steps), drive

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
        self, arrays: Arrays, state: SynapseState, drive: Array
    ) -> tuple[SynapseState, Array]:
        if self.recurrence is None or state.tracer is None:
            return state, self._stored(drive)
        tracer, traces = self.recurrence.step(arrays.tracer, state.tracer, drive)
        return state._replace(tracer=tracer), self._currents(arrays, traces)

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


def _is_negative(spikes: Array) -> Array:
    """Which spikes inhibit: of floats by the sign alone, which a silent input has too."""
    return jnp.signbit(spikes) if jnp.issubdtype(spikes.dtype, jnp.floating) else spikes < 0

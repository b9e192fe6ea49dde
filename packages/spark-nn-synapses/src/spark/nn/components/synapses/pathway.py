"""From spikes to currents, as pure functions: release, delay, drive, then a tracer."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from spark.core.internal import Traces, clip
from spark.core.internal import compute_dtype as arithmetic_dtype
from spark.core.tracers import Method, Recurrence, State

from .delays import Ring, delay, delay_over_time
from .drive import Drive, Kernel
from .partition import Names
from .saturated import saturated
from .summed_wide import summed_wide


class Arrays(NamedTuple):
    """What a pathway computes with, its state apart.

    Attributes:
        kernel: What the spikes are multiplied by.
        base: Added once per target, unless the tracer does; of shape `units` or a scalar, or None.
        tracer: Parameters of the recurrence; None without one.
        delays: Delays of the inputs in steps, a scalar or of shape `(inputs,)`; None without.
        release: Parameters of the recurrence of the inputs; None without one.
    """

    kernel: Kernel
    base: Array | None
    tracer: Any
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
        drive: Sums over inputs, for each trace.
        release: What the inputs obey before they are summed; None passes spikes on.
        recurrence: What a trace obeys; None passes the drive on.
        chunk: Elements that the drive of a chunk of a scan may have, of a kernel that is not
            larger: 4 MB of float32.
    """

    drive: Drive
    release: Recurrence[Any] | None = None
    recurrence: Recurrence[Any] | None = None
    chunk: int = 1 << 20

    @property
    def cut(self) -> Names:
        """How a trace is cut over devices."""
        drive = self.drive
        if drive.partition is None:
            return ()
        lead: Names = (None,) * len(drive.lead)
        if drive.sharing == "synapse":
            lead = (drive.partition.inputs, *lead[1:])
        return drive.partition.traces(drive.batch, lead, len(drive.units))

    def step(
        self, arrays: Arrays, state: SynapseState, spikes: Array
    ) -> tuple[SynapseState, Float[Array, "*batch *units"]]:
        """Take one step.

        Args:
            arrays: Weights and parameters.
            state: The state.
            spikes: Signed spikes, of shape `(*batch, *drive.spikes_shape)`.

        Returns:
            The state after the step, and the currents.
        """
        state, spikes = self._arrive(arrays, state, spikes)
        on_way, drive = self.drive.step(arrays.kernel, state.drive, spikes)
        state = state._replace(drive=on_way)
        if self.recurrence is None or state.tracer is None:
            return state, saturated(drive, self.drive.dtype)
        tracer, traces = self.recurrence.step(arrays.tracer, state.tracer, drive)
        return self._placed(state._replace(tracer=tracer)), self._currents(arrays, traces)

    def scan(
        self, arrays: Arrays, state: SynapseState, spikes: Array, method: Method = "auto"
    ) -> tuple[SynapseState, Float[Array, "time *batch *units"]]:
        """Take one step per leading entry of `spikes`.

        The sequence is released and delayed, then projected, and then traced, so that each can be
        done in the way that is fastest for it: all of it or, where the drive would be large, chunk
        by chunk. A trace per synapse is driven step by step instead: its drive would be as large
        as the kernel, for each step.

        Args:
            arrays: Weights and parameters.
            state: As in `step`.
            spikes: Signed spikes, of shape `(time, *batch, *drive.spikes_shape)`.
            method: How to run the recurrences over time, as in `Tracer.scan`. A trace per synapse
                is sequential.

        Returns:
            The state after the last step, and the currents of all steps.
        """
        if len(spikes) == 0:  # no loop, of which jax.disable_jit cannot tell the output
            batch = spikes.shape[1 : spikes.ndim - len(self.drive.spikes_shape)]
            return state, jnp.zeros((0, *batch, *self.drive.units), self.drive.dtype)
        state, spikes = self._arrive(arrays, state, spikes, method)
        recurrence, tracer = self.recurrence, state.tracer
        if recurrence is None or tracer is None:
            on_way, drive = summed_wide(self._driven, arrays, state.drive, spikes)
            return state._replace(drive=on_way), saturated(drive, self.drive.dtype)
        run: Callable[..., Any]
        if self.drive.sharing == "synapse":
            run = functools.partial(self._one_by_one, recurrence)
        else:
            run = functools.partial(self._in_chunks, recurrence, method)
        (traces, on_way), currents = summed_wide(run, arrays, (tracer, state.drive), spikes)
        noise = tracer.noise._replace(steps=tracer.noise.steps + np.uint32(len(spikes)))
        return self._placed(state._replace(tracer=State(traces, noise), drive=on_way)), currents

    def _arrive(
        self, arrays: Arrays, state: SynapseState, spikes: Array, method: Method | None = None
    ) -> tuple[SynapseState, Array]:
        """Spikes as they reach the connections: released, then delayed; over time by a method."""
        if self.release is not None and state.release is not None:
            release, spikes = self._released(arrays.release, state.release, spikes, method)
            state = state._replace(release=release)
        if state.spikes is not None and arrays.delays is not None:
            inputs = self.drive.inputs
            front = spikes.shape[: spikes.ndim - len(inputs)]
            flat = spikes.reshape(*front, math.prod(inputs))
            late = delay if method is None else delay_over_time
            ring, flat = late(state.spikes, arrays.delays, flat)
            state = state._replace(spikes=ring)
            spikes = flat.reshape(*front, *inputs)
        return state, spikes

    def _released(
        self, parameters: Any, state: State, spikes: Array, method: Method | None
    ) -> tuple[State, Array]:
        """Spikes times the efficacy of their inputs."""
        assert self.release is not None
        wide = arithmetic_dtype(self.drive.dtype)
        # What a silent input would release has a derivative too.
        inhibits = None if spikes.dtype == bool else _is_negative(spikes)
        if jnp.issubdtype(spikes.dtype, jnp.integer):
            spikes = spikes.astype(wide)  # int8 has -128, but no 128
        amount = spikes if inhibits is None else jnp.where(inhibits, -spikes, spikes)
        if method is None:
            state, efficacy = self.release.step(parameters, state, amount)
        else:
            state, efficacy = self.release.scan(parameters, state, amount, method)
        if amount.dtype != bool:
            amount = clip(amount.astype(wide), 0.0, 1.0)
        released = efficacy.astype(wide) * amount.astype(wide)
        return state, released if inhibits is None else jnp.where(inhibits, -released, released)

    def _driven(
        self, arrays: Arrays, on_way: Ring | None, spikes: Array
    ) -> tuple[Ring | None, Array]:
        """The drive of all steps."""
        return self.drive.scan(arrays.kernel, on_way, spikes)

    def _one_by_one(
        self,
        recurrence: Recurrence[Any],
        arrays: Arrays,
        before: tuple[State, Ring | None],
        spikes: Array,
    ) -> tuple[tuple[Traces, Ring | None], Array]:
        """A scan that holds the drive of one step."""
        tracer, on_way = before
        # Between steps the traces stay in the arithmetic dtype, for the sake of their gradients.
        run, start = recurrence.begin(arrays.tracer, tracer)

        def body(carry: State, spikes: Array) -> tuple[State, Array]:
            _, drive = self.drive.step(arrays.kernel, None, spikes)
            carry, y = run.step(carry, drive)
            return carry, self._currents(arrays, y)

        last, currents = lax.scan(body, start, spikes)
        return (recurrence.end(tracer, last).traces, on_way), currents

    def _in_chunks(
        self,
        recurrence: Recurrence[Any],
        method: Method,
        arrays: Arrays,
        before: tuple[State, Ring | None],
        spikes: Array,
    ) -> tuple[tuple[Traces, Ring | None], Array]:
        """A scan chunk by chunk, so that the drive of a chunk is in the cache when it is used.

        That of a dense kernel without groups is taken at once: the gradient by the kernel is then
        one product. For the same reason a chunk has as many elements as the kernel, at least: each
        adds to the gradient by all of it.
        """
        tracer, on_way = before
        # As from step to step.
        run, start = recurrence.begin(arrays.tracer, tracer)

        def chunk(
            carry: tuple[State, Ring | None], spikes: Array
        ) -> tuple[tuple[State, Ring | None], Array]:
            state, on_way = carry
            on_way, drive = self.drive.scan(arrays.kernel, on_way, spikes)
            state, ys = run.scan(state, drive, method)
            return (state, on_way), self._currents(arrays, ys)

        carry = start, on_way
        time, grouped = len(spikes), self.drive.sharing == "group"
        seen = spikes.size * self.drive.lead[0] if grouped else 0  # each group has its spikes
        elements = max(time * start.traces[0].size, seen)
        most = max(self.chunk, arrays.kernel.weights[0].size)
        at_once = self.drive.rows is None and not grouped
        if at_once or elements <= most:
            (last, on_way), currents = chunk(carry, spikes)
        else:
            size = _even(time, max(1, most * time // elements))
            chunks = time // size
            head = spikes[: chunks * size].reshape(chunks, size, *spikes.shape[1:])
            carry, currents = lax.scan(chunk, carry, head)
            currents = currents.reshape(chunks * size, *currents.shape[2:])
            if time % size:
                carry, tail = chunk(carry, spikes[chunks * size :])
                currents = jnp.concatenate([currents, tail])
            last, on_way = carry
        return (recurrence.end(tracer, last).traces, on_way), currents

    def _currents(self, arrays: Arrays, traces: Array) -> Array:
        """The sum of the traces of each target, and its base."""
        if self.drive.sharing == "target":
            return traces
        last = traces.ndim - len(self.drive.units)
        wide = arithmetic_dtype(self.drive.dtype)
        total = jnp.sum(traces.astype(wide), axis=tuple(range(last - len(self.drive.lead), last)))
        if arrays.base is not None:
            base = arrays.base.astype(wide)
            total = total + jnp.broadcast_to(base, total.shape)
        return saturated(total, self.drive.dtype)

    def _placed(self, state: SynapseState) -> SynapseState:
        """A state that stays where it is, however the compiler would place it."""
        if self.drive.partition is None or state.tracer is None:
            return state
        where = self.drive.partition.sharding(self.cut)
        traces = tuple(lax.with_sharding_constraint(trace, where) for trace in state.tracer.traces)
        return state._replace(tracer=state.tracer._replace(traces=traces))


def _even(time: int, longest: int) -> int:
    """How long chunks of `time` steps are: such that none is left over, unless they got short."""
    even = next(size for size in range(longest, 0, -1) if time % size == 0)
    return even if 2 * even >= longest else longest


def _is_negative(spikes: Array) -> Array:
    """Which spikes inhibit: of floats by the sign alone, which a silent input has too."""
    return jnp.signbit(spikes) if jnp.issubdtype(spikes.dtype, jnp.floating) else spikes < 0

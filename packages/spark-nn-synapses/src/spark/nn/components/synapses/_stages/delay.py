"""Delay: a ring buffer of spikes, read as many steps later as the delay of each input says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Int

from spark.core.internal import CheckedModule
from spark.core.tracers import Constant, Method

from .base import Run, Stage, saturated
from .ring import RingBuffer, window


@dataclasses.dataclass(frozen=True)
class Delay(Stage):
    """The stage; its parameters are the delays in steps, its state a ring buffer.

    Delays are a scalar, for all inputs alike; of shape `(inputs,)`; or `(targets, inputs)`, for
    each connection. The buffer is of shape `(slots, *batch, inputs)`, with one slot more than the
    longest delay has steps.

    Attributes:
        inputs: Shape of the inputs.
        units: Shape of the targets, if each connection has a delay.
    """

    inputs: tuple[int, ...]
    units: tuple[int, ...] = ()

    def begin(self, parameters: Array, state: RingBuffer) -> tuple[DelayRun, RingBuffer]:
        return DelayRun(self, parameters), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DelayRun(Run):
    """A `Delay` with its delays."""

    stage: Delay = dataclasses.field(metadata={"static": True})
    delays: Int[Array, "..."]

    def step(self, ring: RingBuffer, x: Array) -> tuple[RingBuffer, Array]:
        count = len(ring.slots)
        slots = lax.dynamic_update_index_in_dim(ring.slots, self._flat(ring, x), ring.cursor, 0)
        which = (ring.cursor - self.delays) % count
        after = RingBuffer(slots, (ring.cursor + 1) % count)
        if which.ndim == 0:
            return after, self._shaped(lax.dynamic_index_in_dim(slots, which, 0, keepdims=False))
        if which.ndim == 2:
            slots = slots[..., None, :]  # targets read the same inputs
        which = jnp.expand_dims(which, tuple(range(slots.ndim - which.ndim)))
        return after, self._shaped(jnp.take_along_axis(slots, which, axis=0)[0])

    def scan(
        self, ring: RingBuffer, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[RingBuffer, Array]:
        """Take many steps: at once, unless the buffer is longer or connections have delays."""
        after, delayed = self._scan(ring, xs)
        if lengths is not None:
            # The last entries that each batch entry has seen.
            before = jnp.roll(ring.slots, -ring.cursor, axis=0)
            seen = window(jnp.concatenate([before, self._flat(ring, xs)]), lengths, len(before))
            after = after._replace(slots=jnp.roll(seen, after.cursor, axis=0))
        return after, delayed

    def _scan(self, ring: RingBuffer, xs: Array) -> tuple[RingBuffer, Array]:
        time, count = len(xs), len(ring.slots)
        if time == 0:  # without lax.scan, which jax.disable_jit refuses for no step
            flat, targets = self._flat(ring, xs), self.delays.shape[:-1]
            empty = jnp.zeros((*flat.shape[:-1], *targets, flat.shape[-1]), flat.dtype)
            return ring, self._shaped(empty)
        if self.delays.ndim == 2 or time < count:
            return lax.scan(self.step, ring, xs)
        before = jnp.roll(ring.slots, -ring.cursor, axis=0)[1:]
        series = jnp.concatenate([before, self._flat(ring, xs)])

        def late(series: Array, delay: Array) -> Array:
            return lax.dynamic_slice_in_dim(series, count - 1 - delay, time)

        if self.delays.ndim == 0:
            delayed = late(series, self.delays)
        else:
            delayed = jax.vmap(late, in_axes=-1, out_axes=-1)(series, self.delays)
        cursor = (ring.cursor + time) % count
        slots = jnp.roll(series[-count:], cursor, axis=0)
        return RingBuffer(slots, cursor), self._shaped(delayed)

    def _flat(self, ring: RingBuffer, x: Array) -> Array:
        inputs = self.stage.inputs
        flat = x.reshape(*x.shape[: x.ndim - len(inputs)], math.prod(inputs))
        return saturated(flat, ring.slots.dtype)

    def _shaped(self, flat: Array) -> Array:
        front = flat.shape[: flat.ndim - (2 if self.stage.units else 1)]
        return flat.reshape(*front, *self.stage.units, *self.stage.inputs)


class DelayState(nnx.Variable[Array]):
    """Spikes that have not arrived yet."""


class DelayLine(CheckedModule):
    """The holder: delays, and the ring buffer of what is delayed.

    Attributes:
        slots: The slots of the ring buffer; a Flax variable.
        cursor: Index of the slot of the current step; likewise.
        delays: Delays in steps, as `Delay` takes them; None where the connections hold them.
    """

    delays: Constant | None

    def __init__(self, shape: tuple[int, ...], dtype: Any, delays: Any = None) -> None:
        """Create an empty ring buffer; its shape is that of the slots."""
        self.delays = nnx.data(None if delays is None else Constant(jnp.asarray(delays)))
        self.slots = DelayState(jnp.zeros(shape, dtype))
        self.cursor = DelayState(jnp.zeros((), jnp.int32))

    def _require_assignable(self, name: str, value: Any) -> None:
        if name in ("slots", "cursor", "delays") and name in vars(self):
            raise AttributeError(f"{name} of a DelayLine is set by steps: reset() forgets them.")

    @property
    def parameters(self) -> Array | None:
        """The delays."""
        return None if self.delays is None else self.delays.get_value()

    @property
    def state(self) -> RingBuffer:
        """The ring buffer."""
        return RingBuffer(self.slots.get_value(), self.cursor.get_value())

    def set_state(self, state: RingBuffer) -> None:
        self.slots.set_value(state.slots)
        self.cursor.set_value(state.cursor)

    def reset(self) -> None:
        """Forget what is on its way."""
        self.masked_reset(jnp.ones((), bool))

    def masked_reset(self, mask: Bool[Array, "..."]) -> None:
        """Forget what is on its way where a mask, broadcastable to the slots, is true."""
        slots = self.slots.get_value()
        mask = jnp.expand_dims(mask, tuple(range(slots.ndim - mask.ndim)))
        self.slots.set_value(jnp.where(mask, jnp.zeros((), slots.dtype), slots))

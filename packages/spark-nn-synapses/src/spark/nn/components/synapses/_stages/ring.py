"""`RingBuffer`: what is on its way, a slot per step; and what it was some steps ago."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Num


class RingBuffer(NamedTuple):
    """One slot per step, reused when the cursor comes round again.

    Attributes:
        slots: The slots.
        cursor: Index of the slot of the current step.
    """

    slots: Num[Array, "..."]
    cursor: Int[Array, ""]


def window(
    series: Num[Array, " time *batch rest"], starts: Int[Array, "*batch"], count: int
) -> Num[Array, " count *batch rest"]:
    """So many entries of a series, from a start that each entry of a batch has of its own."""

    def of_one(series: Array, start: Array) -> Array:
        return lax.dynamic_slice_in_dim(series, start, count)

    for _ in range(starts.ndim):
        of_one = jax.vmap(of_one, in_axes=(1, 0), out_axes=1)
    return of_one(series, starts)


def before_arrival(
    ring: RingBuffer, arrived: Num[Array, " time *batch rest"], lengths: Int[Array, "*batch"]
) -> RingBuffer:
    """A ring buffer of sums as it was when each entry of a batch had taken so many steps.

    Nothing was put on its way afterwards: what has arrived since then is put back.

    Args:
        ring: The ring buffer after all steps, with slots of shape `(*batch, ..., steps, targets)`.
        arrived: What arrived at each step, of shape `(time, *batch, ..., *targets)`.
        lengths: How many of the steps each entry takes.
    """
    slots = jnp.moveaxis(ring.slots, -2, 0)
    arrived = arrived.reshape(len(arrived), *slots.shape[1:])
    series = jnp.concatenate([arrived, jnp.roll(slots, -ring.cursor, axis=0)])
    slots = jnp.roll(window(series, lengths, len(slots)), ring.cursor, axis=0)
    return ring._replace(slots=jnp.moveaxis(slots, 0, -2))

"""Along rows of connections, stored or drawn; with delays of connections, into a ring buffer."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .._stages.ring import RingBuffer
from .base import Kernel, Projection
from .row_sums import project_later, project_rows
from .rows import Rows, StoredRows
from .spiking import active


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparse(Projection):
    """Sums along rows; where arrivals differ, the carry is a ring buffer of pending sums.

    Attributes:
        rows: Which targets each input reaches, and when. With delays of connections, the slots of
            the ring buffer are of shape `(*batch, steps, targets)`.
    """

    rows: Rows

    def apply(self, parameters: Kernel, carry: Any, x: Array) -> tuple[Any, Array]:
        """Add up what arrives now; what arrives later is added to the ring buffer."""
        front, flat = self.flat(x)
        wide, adjacency = self.dtype_of(parameters), parameters.adjacency
        assert adjacency is not None
        weights, spikes = _scaled(parameters, flat, wide)
        rows = self.rows
        if isinstance(rows, StoredRows):  # of a device, which a checkpoint may have given others
            rows = dataclasses.replace(rows, weights=len(adjacency[1]))
        if carry is None:
            sums = project_rows(rows, adjacency, weights, spikes, wide, self.way)
        else:
            slots, cursor = carry
            slots, sums = project_later(rows, adjacency, weights, spikes, slots, cursor, self.way)
            carry = RingBuffer(slots, (cursor + 1) % rows.steps)
        return carry, sums.reshape(*front, *self.units)

    def chunk(self, parameters: Kernel, time: int) -> int:
        """As few steps as keep their sums in the cache."""
        return self.limited(parameters, time)


def _scaled(kernel: Kernel, spikes: Array, wide: jnp.dtype) -> tuple[Array, Array]:
    """Weights along rows, and spikes, with the scales that vary over inputs."""
    stored, *gains = kernel.weights
    weights = stored.reshape(-1)
    for gain in gains:
        if gain.ndim == 2:
            of_spikes = gain[:, 0] if kernel.pre is None else gain[kernel.pre, 0]
            each = jnp.expand_dims(of_spikes.astype(wide), tuple(range(spikes.ndim - 1)))
            # A silent input stays so, whatever its gain.
            each = jnp.where(active(spikes) | jnp.isfinite(each), each, 0)
            spikes = spikes.astype(wide) * each
        else:
            weights = weights.astype(wide) * gain.astype(wide)
    return weights, spikes

"""From spikes to what drives each trace: sums over inputs, of synapses, groups or targets."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from spark.core.internal import compute_dtype as arithmetic_dtype

from .delays import Ring
from .layout import Sharing
from .partition import Partition
from .projection import Way, Weights, contributions, project
from .rows import Rows, StoredRows, Wires
from .sparse import project_later, project_rows
from .spiking import active


class Kernel(NamedTuple):
    """What spikes are multiplied by.

    Attributes:
        weights: The kernel, inputs first, and the scales that vary over inputs. Along rows, the
            kernel has one axis, and a scale one for the connections, or two as (inputs, 1).
        groups: Which group each input belongs to; None without groups.
        wires: What rows are read from; none without rows.
    """

    weights: Weights
    groups: Array | None
    wires: Wires | None = None


@dataclasses.dataclass(frozen=True)
class Drive:
    """What is static of the sums over inputs.

    Attributes:
        units: Shape of the targets.
        inputs: Shape of the inputs.
        async_spikes: Whether each connection has its own spike.
        dtype: Dtype of the currents.
        way: How to project.
        rows: Who reaches whom; None if every input reaches every target.
        sharing: What has a trace of its own.
        lead: Axes of a trace before those of the targets.
        batch: Number of batch axes.
        partition: How the arrays are cut over devices; None keeps them whole.
    """

    units: tuple[int, ...]
    inputs: tuple[int, ...]
    async_spikes: bool
    dtype: jnp.dtype
    way: Way
    rows: Rows | None = None
    sharing: Sharing = "target"
    lead: tuple[int, ...] = ()
    batch: int = 0
    partition: Partition | None = None

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of the kernel, as it is seen."""
        return self.units + self.inputs

    @property
    def spikes_shape(self) -> tuple[int, ...]:
        """Shape of the spikes of a step, without a batch."""
        return self.kernel_shape if self.async_spikes else self.inputs

    def step(
        self, kernel: Kernel, on_way: Ring | None, spikes: Array
    ) -> tuple[Ring | None, Float[Array, "*front *lead *units"]]:
        """What drives each trace, in the wider arithmetic dtype of kernel and currents.

        Args:
            kernel: What the spikes are multiplied by.
            on_way: Drive that is on its way, in places of shape `(*batch, *lead, steps, targets)`;
                None where there is none, and then many steps can be taken at once.
            spikes: Signed spikes, of shape `(*front, *spikes_shape)`.

        Returns:
            What is on its way after the step, and what arrives.
        """
        front = spikes.shape[: spikes.ndim - len(self.spikes_shape)]
        inputs, targets = math.prod(self.inputs), math.prod(self.units)
        if self.async_spikes:
            flat = jnp.swapaxes(spikes.reshape(*front, targets, inputs), -1, -2)
        else:
            flat = spikes.reshape(*front, inputs)
        if self.sharing == "group" and kernel.groups is not None:
            flat = self._by_group(kernel.groups, flat, len(front))

        if self.sharing == "synapse":
            each = flat if self.async_spikes else flat[..., None]
            drive = contributions(kernel.weights, each, self._wide(kernel))
        elif isinstance(self.rows, StoredRows) and on_way is not None:
            on_way, drive = self._sums_later(kernel, self.rows, on_way, flat)
        elif self.rows is not None:
            drive = self._sums_along(kernel, self.rows, flat)
        else:
            drive = self._sums(kernel, flat, len(front))
        return on_way, drive.reshape(*front, *self.lead, *self.units)

    def scan(
        self, kernel: Kernel, on_way: Ring | None, spikes: Array
    ) -> tuple[Ring | None, Float[Array, "time *batch *lead *units"]]:
        """The drive of all steps: at once, unless some of it is on its way between them.

        Args:
            kernel: As in `step`.
            on_way: As in `step`.
            spikes: Signed spikes, of shape `(time, *batch, *spikes_shape)`.
        """
        if on_way is None:
            return self.step(kernel, on_way, spikes)

        def body(on_way: Ring | None, spikes: Array) -> tuple[Ring | None, Array]:
            return self.step(kernel, on_way, spikes)

        return lax.scan(body, on_way, spikes)

    def _by_group(self, groups: Array, spikes: Array, front: int) -> Array:
        """The spikes that each group sees: those of its own inputs."""
        members = jnp.arange(self.lead[0], dtype=groups.dtype)[:, None] == groups[None]
        if self.async_spikes:
            members, spikes = members[..., None], spikes[..., None, :, :]
        else:
            spikes = spikes[..., None, :]
        members = jnp.expand_dims(members, tuple(range(front)))
        return jnp.where(members, spikes, jnp.zeros((), spikes.dtype))

    def _sums(self, kernel: Kernel, spikes: Array, front: int) -> Array:
        """Sums over inputs; the batch axes are the last of `front` leading ones."""
        wide = self._wide(kernel)
        if self.async_spikes:
            return jnp.sum(contributions(kernel.weights, spikes, wide), axis=-2)

        def sums(weights: Weights, spikes: Array) -> Array:
            return project(weights, spikes, self.way, wide)

        if self.partition is None:
            return sums(kernel.weights, spikes)
        return self.partition.project(sums, kernel.weights, spikes, front - self.batch)

    def _along(self, kernel: Kernel, spikes: Array) -> tuple[Array, Array]:
        """Weights along rows, and spikes, with the scales that vary over inputs."""
        wide = self._wide(kernel)
        stored, *gains = kernel.weights
        weights = stored.reshape(-1)
        for gain in gains:
            if gain.ndim == 2:
                each = jnp.expand_dims(gain[:, 0].astype(wide), tuple(range(spikes.ndim - 1)))
                # A silent input stays so, whatever its gain.
                each = jnp.where(active(spikes) | jnp.isfinite(each), each, 0)
                spikes = spikes.astype(wide) * each
            else:
                weights = weights.astype(wide) * gain.astype(wide)
        return weights, spikes

    def _sums_along(self, kernel: Kernel, rows: Rows, spikes: Array) -> Array:
        """Sums over inputs along rows of connections."""
        assert kernel.wires is not None
        weights, spikes = self._along(kernel, spikes)
        return project_rows(rows, kernel.wires, weights, spikes, self._wide(kernel), self.way)

    def _sums_later(
        self, kernel: Kernel, rows: StoredRows, ring: Ring, spikes: Array
    ) -> tuple[Ring, Array]:
        """Sums that arrive now, while others are put on their way."""
        assert kernel.wires is not None
        weights, spikes = self._along(kernel, spikes)
        places, now = ring
        places, drive = project_later(rows, kernel.wires, weights, spikes, places, now, self.way)
        return Ring(places, (now + 1) % rows.steps), drive

    def _wide(self, kernel: Kernel) -> jnp.dtype:
        """The wider one of the dtypes of kernel and currents."""
        dtypes = arithmetic_dtype(kernel.weights[0].dtype), arithmetic_dtype(self.dtype)
        return max(dtypes, key=lambda dtype: dtype.itemsize)

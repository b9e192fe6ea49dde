"""Each synapse on its own: where it has a trace, or a spike, that no other has."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from spark.core.internal import compute_dtype

from .base import Kernel, Projection, Weights
from .dense import product_of, with_derivative_of
from .spiking import active


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerSynapse(Projection):
    """Weight times spike of each synapse, with the inputs before the targets; or their sums.

    Attributes:
        async_spikes: Whether each connection has its own spike, in the order of the kernel.
        summed: Whether to add up those of each target.
    """

    async_spikes: bool = False
    summed: bool = False

    @property
    def spikes_shape(self) -> tuple[int, ...]:
        return self.units + self.inputs if self.async_spikes else self.inputs

    def apply(self, parameters: Kernel, carry: Any, x: Array) -> tuple[Any, Array]:
        front = x.shape[: x.ndim - len(self.spikes_shape)]
        if self.async_spikes:
            flat = x.reshape(*front, math.prod(self.units), math.prod(self.inputs))
            each = jnp.swapaxes(flat, -1, -2)
        else:
            each = self.flat(x)[1][..., None]
        drive = contributions(parameters.weights, each, self.dtype_of(parameters))
        if self.summed:
            return carry, jnp.sum(drive, axis=-2).reshape(*front, *self.units)
        return carry, drive.reshape(*front, *self.inputs, *self.units)

    def chunk(self, parameters: Kernel, time: int) -> int:
        """One step, whose output is as large as the kernel, unless it is summed."""
        return time if self.summed else 1


def contributions(
    weights: Weights, spikes: Array, dtype: Any = None
) -> Float[Array, "*batch inputs targets"]:
    """Weight times spike of each synapse; nothing where there is no spike.

    Args:
        weights: Factors of the kernel, inputs first, as `Weights`.
        spikes: Booleans or signed numbers, broadcastable to `(*batch, inputs, targets)`.
        dtype: Dtype of the currents; None takes that of the kernel.

    Returns:
        The products, in the arithmetic dtype of that.
    """
    wide = compute_dtype(weights[0].dtype if dtype is None else dtype)
    if spikes.dtype != bool:
        spikes = spikes.astype(wide)
    return _contributions(wide)(weights, spikes)


@functools.cache
def _contributions(wide: jnp.dtype) -> Callable[[Weights, Array], Array]:
    """`(weights, spikes) -> products` in a dtype."""

    def product(weights: Weights, spikes: Array) -> Array:
        kernel = product_of(weights, wide)
        return jnp.expand_dims(kernel, tuple(range(spikes.ndim - 2))) * spikes.astype(wide)

    @with_derivative_of(product)
    def exact(weights: Weights, spikes: Array) -> Array:
        if spikes.dtype == bool:
            every = product(weights, jnp.ones_like(spikes))
        else:
            every = product(weights, spikes)
        return jnp.where(active(spikes), every, jnp.zeros_like(every))

    return exact

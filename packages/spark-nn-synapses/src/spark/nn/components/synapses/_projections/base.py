"""What projections share: the kernel, and how many steps of a scan to project at once."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from spark.core.internal import compute_dtype

from .._stages.base import Function
from .rows import Adjacency

Way = Literal["auto", "dense", "events"]
"""How a projection is computed."""

WAYS = get_args(Way)

Weights: TypeAlias = tuple[Float[Array, "#inputs #targets"], ...]
"""Factors whose product is the weight of each synapse; the first has its full shape."""


class Kernel(NamedTuple):
    """What spikes are multiplied by; the parameters of a projection.

    Attributes:
        weights: The kernel, inputs first, and the scales that vary over inputs. Along rows, the
            kernel has one axis, and a scale one for the connections, or two as (inputs, 1).
        groups: Which group each input belongs to; None without groups.
        adjacency: What rows are read from; None without rows.
        pre: Input of each spike, where connections along rows have spikes of their own.
        order: Which of these spikes the connections of devices have, -1 for none; None if they have
            them in this order.
    """

    weights: Weights
    groups: Array | None = None
    adjacency: Adjacency | None = None
    pre: Array | None = None
    order: Array | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection(Function):
    """A stage from spikes, of shape `(*front, *spikes_shape)`, to the input of each trace.

    Its output is of shape `(*front, *units)`, in the wider one of the arithmetic dtypes of kernel
    and currents. A projection of your own is the `projection_class` of a configuration; it has
    `apply`.

    Attributes:
        units: Shape of the targets.
        inputs: Shape of the inputs.
        batch: Leading axes of spikes and traces.
        dtype: Dtype of the currents.
        way: How to project.
        chunk_elements: How many elements the output of a chunk may have, unless the kernel has
            more; the default is 4 MB of float32.
    """

    units: tuple[int, ...]
    inputs: tuple[int, ...]
    batch: tuple[int, ...] = ()
    dtype: jnp.dtype
    way: Way = "auto"
    chunk_elements: int = 1 << 20

    @property
    def spikes_shape(self) -> tuple[int, ...]:
        return self.inputs

    @abc.abstractmethod
    def apply(self, parameters: Kernel, carry: Any, x: Array) -> tuple[Any, Array]:
        """Project the spikes of one step; of several, if nothing is carried.

        Args:
            parameters: The kernel: `weights` are the factors of each weight, inputs first.
            carry: None, unless sums are on their way.
            x: Signed spikes, of shape `(*front, *spikes_shape)`.

        Returns:
            The carry, and the drive.
        """

    def flat(self, spikes: Array) -> tuple[tuple[int, ...], Array]:
        """The leading axes of spikes of inputs, and the spikes with the inputs as one axis."""
        front = spikes.shape[: spikes.ndim - len(self.inputs)]
        return front, spikes.reshape(*front, math.prod(self.inputs))

    def dtype_of(self, kernel: Kernel) -> jnp.dtype:
        """The wider one of the arithmetic dtypes of kernel and currents."""
        dtypes = compute_dtype(kernel.weights[0].dtype), compute_dtype(self.dtype)
        return max(dtypes, key=lambda dtype: dtype.itemsize)

    def limited(self, kernel: Kernel, time: int, spikes: int = 0) -> int:
        """How many of `time` steps to take at once, so that a chunk stays in the cache.

        A chunk has as many elements as the kernel, at least: to its gradient each adds all of it.

        Args:
            kernel: The kernel.
            time: Number of steps.
            spikes: How many elements of spikes are made for a step and batch entry.
        """
        elements = time * math.prod(self.batch) * max(math.prod(self.units), spikes)
        most = max(self.chunk_elements, kernel.weights[0].size)
        return time if elements <= most else even(time, max(1, most * time // elements))


def even(time: int, longest: int) -> int:
    """How long chunks of `time` steps are: such that none is left over, unless they got short."""
    size = next(size for size in range(longest, 0, -1) if time % size == 0)
    return size if 2 * size >= longest else longest

"""Tracers of single connections, some of whose trained parameters several connections share."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from spark.core.internal import require_fit
from spark.core.tracers import BaseTracer, Constant

from .partition import Names, Partition, cut


@dataclasses.dataclass(frozen=True)
class Gather:
    """From values of inputs and targets to one for each trace: its transpose is a scatter-add.

    Attributes:
        inputs: Shape of the inputs.
        units: Shape of the targets.
        partition: How both are sharded; each device then gathers from what it has. None for one.
    """

    inputs: tuple[int, ...]
    units: tuple[int, ...]
    partition: Partition | None = None

    def __call__(
        self, value: Float[Array, "..."], targets: Int[Array, "inputs width"]
    ) -> Float[Array, "..."]:
        """A value for each trace.

        Args:
            value: Broadcastable to `(*inputs, *units)`.
            targets: Target of each trace, counted in its device.

        Returns:
            Of shape `(*inputs, width)`, or a scalar as it came.
        """
        partition = self.partition
        if value.ndim == 0:
            return value
        if partition is None:
            return _gathered(self.inputs, self.units, value, targets)
        inputs = partition.local(self.inputs, partition.inputs)
        units = partition.local(self.units, partition.targets)
        found: Array = jax.shard_map(
            functools.partial(_gathered, inputs, units),
            mesh=partition.mesh,
            in_specs=(
                PartitionSpec(*cut(value.shape, self.names(len(units)))),
                PartitionSpec(*partition.kernel),
            ),
            out_specs=PartitionSpec(*self.names(1)),
            check_vma=False,  # what is gathered is the same along the axes that it lacks
        )(value, targets)
        return found

    def names(self, units: int) -> Names:
        """How an array is cut that has the axes of the inputs, and then so many of the targets."""
        assert self.partition is not None
        lead = self.partition.spikes(0, len(self.inputs))
        return self.partition.traces(0, lead, units)


def _gathered(
    inputs: tuple[int, ...], units: tuple[int, ...], value: Array, targets: Array
) -> Array:
    """The values of a device for its traces, by their places in the flattened array."""
    shape = (1,) * (len(inputs) + len(units) - value.ndim) + value.shape
    of_traces = targets.reshape(*inputs, targets.shape[1])
    axes = [
        jnp.arange(size, dtype=targets.dtype).reshape(
            [-1 if each == axis else 1 for each in range(len(inputs) + 1)]
        )
        for axis, size in enumerate(inputs)
    ]
    axes += jnp.unravel_index(of_traces, units)
    places = jnp.zeros_like(of_traces)
    for axis, size in enumerate(shape):
        if size > 1:
            places = places + axes[axis] * math.prod(shape[axis + 1 :])
    found: Array = value.reshape(-1).at[places].get(mode="clip")
    return found


class SharingTracer(BaseTracer):
    """A tracer of connections, some of whose parameters several connections share.

    Such a parameter is kept and trained as it was given; `parameters`, which the recurrence reads
    once for a call or scan, have its value for each trace.

    Attributes:
        shared: Names of the shared parameters, which broadcast to `(*inputs, *units)`; static.
        gather: From these to a value for each trace; static.
        targets: Target of each trace, of shape `(inputs, width)`, counted in its device; beyond the
            end of a row, the number of targets.
    """

    shared: tuple[str, ...]
    gather: Gather
    targets: Constant

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        shared: tuple[str, ...],
        gather: Gather,
        targets: Any,
        **kwargs: Any,
    ) -> None:
        """Create a tracer at rest.

        Args:
            shape: As in `BaseTracer`.
            shared: As in the class, like `gather` and `targets`.
            gather: See there.
            targets: See there.
            **kwargs: What the constructor of the tracer takes otherwise.
        """
        self.shared, self.gather = shared, gather
        self.targets = Constant(jnp.asarray(targets))
        super().__init__(shape, **kwargs)

    @property
    def parameters(self) -> Any:
        """The parameters, with a value for each trace of those that are shared."""
        given = super().parameters
        values = tuple(getattr(given, name) for name in self.shared)
        found = _for_each_trace(self.gather, values, self.targets.get_value())
        return given._replace(**dict(zip(self.shared, found, strict=True)))

    def shard(self, partition: Partition, targets: Array) -> tuple[nnx.Variable[Array], ...]:
        """Put shared parameters, and the targets, where a partition has them; gives them."""
        self._replace(gather=dataclasses.replace(self.gather, partition=partition))
        self.targets.set_value(jnp.array(targets))
        partition.place(self.targets, partition.kernel)
        variables = tuple(getattr(self, name) for name in self.shared)
        for variable in variables:
            partition.place(variable, self.gather.names(len(self.gather.units)))
        return *variables, self.targets

    def _checked(self, name: str, value: Any, shape: tuple[int, ...] | None = None) -> Any:
        if shape is None and name in self.shared:
            units, given = self.gather.units, np.shape(value)
            shape = self.gather.inputs + units
            try:
                require_fit(name, given, shape)
            except ValueError:
                raise ValueError(
                    f"{name} must be a scalar or broadcast to {units}, the shape of the units, or "
                    f"to {shape}, that of the inputs and units; got shape {given}."
                ) from None
        return super()._checked(name, value, shape)


@functools.cache
def _sharing(kind: Any) -> Any:
    """A kind of tracer as a `SharingTracer`."""
    own = {"_fixed": (*kind._fixed, "shared", "gather"), "__module__": __name__}
    name = f"Sharing{kind.__name__}"
    return types.new_class(name, (SharingTracer, kind), exec_body=lambda names: names.update(own))


def sharing(kind: Any, shared: tuple[str, ...], gather: Gather, targets: Any) -> Callable[..., Any]:
    """A kind of tracer, which keeps some parameters as they are shared; as it is if none are."""
    if not shared:
        return kind
    return functools.partial(_sharing(kind), shared=shared, gather=gather, targets=targets)


@functools.partial(jax.jit, static_argnums=0)
def _for_each_trace(gather: Gather, values: tuple[Array, ...], targets: Array) -> tuple[Array, ...]:
    return tuple(gather(value, targets) for value in values)

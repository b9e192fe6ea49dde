"""Where the arrays of synapses live when they are cut over several devices."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

Names: TypeAlias = tuple[str | tuple[str, ...] | None, ...]
"""For each axis of an array the axis of the mesh that cuts it, or several; None leaves it whole."""


@dataclasses.dataclass(frozen=True)
class Partition:
    """How synapses are sharded over the axes of a mesh of devices.

    Each device holds the connections between its inputs and its targets, and the traces of its
    targets. No device ever sees more of a dense kernel that is drawn, or given as a NumPy array;
    stored connections are laid out on the host, and each device is given its own, padded to equal
    numbers. With numba, each process draws of a `BlockConnectivity` with weights, or sorts of a
    `SparseConnectivity` with weights, only those of its devices, for each of these in turn; without
    numba it draws all and keeps those.

    Cut over inputs, the sums of the devices are added up; cut over targets or a batch alone,
    devices exchange nothing but the spikes, if these come in sharded: once a step, and booleans as
    bits.

    Attributes:
        mesh: The devices; its axes of the type that leaves the cutting to the compiler (`Auto`).
        targets: Axis of the mesh that cuts the first axis of `units`; None leaves it whole.
        inputs: Axis of the mesh that cuts the first axis of the inputs, likewise.
        batch: Axis of the mesh that cuts the first batch axis, likewise.

    Raises:
        ValueError: If the mesh has no such axis, one is named twice, or one is of another type.
    """

    mesh: Mesh
    targets: str | None = None
    inputs: str | None = None
    batch: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that the mesh does not have."""
        named = [name for name in (self.targets, self.inputs, self.batch) if name is not None]
        for name in named:
            if name not in self.mesh.axis_names:
                raise ValueError(
                    f"a partition must name axes of its mesh, {self.mesh.axis_names}, got {name!r}."
                )
            if named.count(name) > 1:
                raise ValueError(f"an axis of the mesh cuts one thing, got {name!r} for several.")
            kind = self.mesh.axis_types[self.mesh.axis_names.index(name)]
            if kind != AxisType.Auto:
                raise ValueError(
                    f"axis {name!r} of the mesh must be of type Auto, got {kind}: build it by "
                    "jax.sharding.Mesh, or by jax.make_mesh with axis_types=(AxisType.Auto, ...)."
                )

    def require_fit(
        self, units: Sequence[int], inputs: Sequence[int], batch: Sequence[int]
    ) -> None:
        """Refuse shapes that cannot be cut evenly.

        Raises:
            ValueError: If the first axis of one is no multiple of the devices along its axis.
        """
        for what, shape in (("targets", units), ("inputs", inputs), ("batch", batch)):
            name = getattr(self, what)
            if name is None:
                continue
            devices = self.mesh.shape[name]
            if not shape or shape[0] % devices:
                raise ValueError(
                    f"{what} of shape {tuple(shape)} cannot be cut over {devices} devices: the "
                    f"first axis must be a multiple of {devices}."
                )

    @property
    def kernel(self) -> tuple[str | None, str | None]:
        """How a matrix (inputs, targets) is cut."""
        return self.inputs, self.targets

    @property
    def grid(self) -> tuple[int, int]:
        """Over how many devices inputs are cut, and targets."""
        inputs, targets = (1 if each is None else self.mesh.shape[each] for each in self.kernel)
        return inputs, targets

    @property
    def flat(self) -> Names:
        """How an axis is cut along which the devices of the grid lie one after the other."""
        names = tuple(name for name in (self.inputs, self.targets) if name is not None)
        return (names if len(names) > 1 else names[0],) if names else (None,)

    @property
    def own_devices(self) -> list[int]:
        """Which devices along `flat` belong to this process."""
        inputs, targets = self.grid
        indices = self.sharding(self.flat).addressable_devices_indices_map((inputs * targets,))
        return sorted({_first(index) for index in indices.values()})

    def spikes(self, batch: int, inputs: int) -> Names:
        """How spikes are cut that have so many axes for batch and inputs."""
        return (*self._first(self.batch, batch), *self._first(self.inputs, inputs))

    def traces(self, batch: int, lead: Names, units: int) -> Names:
        """How a trace is cut that has so many axes for batch and targets, and some between."""
        return (*self._first(self.batch, batch), *lead, *self._first(self.targets, units))

    def sums(self, batch: int, lead: int) -> Names:
        """How sums on their way are cut that have so many axes for batch and groups.

        Steps and targets follow. Each device along the inputs has steps of its own.
        """
        return (*self._first(self.batch, batch), *(None,) * lead, self.inputs, self.targets)

    def sharding(self, names: Names) -> NamedSharding:
        """Where an array is that is cut so."""
        return NamedSharding(self.mesh, PartitionSpec(*names))

    def place(self, variable: nnx.Variable[Array], names: Names) -> None:
        """Put an array where it belongs, and say so in the metadata that Flax reads.

        Args:
            variable: A variable whose array broadcasts against an array that is cut by `names`.
            names: As many as that array has axes.
        """
        value = variable.get_value()
        here = cut(value.shape, names)
        if here:
            # Under whatever name this version of Flax looks for it.
            marked: Any = nnx.with_partitioning(lambda: None, here, self.mesh)()
            variable.set_metadata(**marked.metadata)
        variable.set_value(_put(value, self.sharding(here)))

    def local(self, shape: tuple[int, ...], name: str | None) -> tuple[int, ...]:
        """The part of a shape that a device has, if an axis of the mesh cuts the first axis."""
        return shape if name is None else (shape[0] // self.mesh.shape[name], *shape[1:])

    @staticmethod
    def _first(name: str | None, axes: int) -> Names:
        return (name, *(None,) * (axes - 1)) if axes else ()


def _put(value: Array, where: NamedSharding) -> Array:
    """An array as it is cut; with several processes, from what each of them has."""
    if where.is_fully_addressable:
        return jax.device_put(value, where)
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        if value.sharding == where:
            return value
        return jax.jit(lambda value: value, out_shardings=where)(value)
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        data, kind = np.asarray(jax.random.key_data(value)), jax.random.key_impl(value)
        wrap = functools.partial(jax.random.wrap_key_data, impl=kind)
        return jax.jit(wrap, out_shardings=where)(data)
    whole = np.asarray(value)
    return jax.make_array_from_callback(whole.shape, where, lambda part: whole[part])


def joined(partition: Partition, parts: dict[int, np.ndarray[Any, Any]]) -> Array:
    """An array along whose first axis the devices of a grid have parts, one after the other.

    Args:
        partition: Which devices there are.
        parts: Those of the devices of this process, all of one shape, by their numbers.
    """
    size, *rest = next(iter(parts.values())).shape
    shape = math.prod(partition.grid) * size, *rest
    where = partition.sharding((*partition.flat, *(None,) * len(rest)))
    return jax.make_array_from_callback(shape, where, lambda index: parts[_first(index) // size])


def _first(index: Any) -> int:
    """Where a part of an array begins along the first axis."""
    return int(index[0].start or 0)


def cut(shape: Sequence[int], names: Names) -> Names:
    """How an array is cut that broadcasts against one cut by `names`; an axis of 1 stays whole."""
    aligned = names[len(names) - len(shape) :]
    return tuple(name if size != 1 else None for name, size in zip(aligned, shape, strict=True))

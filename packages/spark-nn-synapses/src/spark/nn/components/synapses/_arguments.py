"""What `build` and calls accept; an error names the argument, its value and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.nnx import tracers
from jaxtyping import Array, Bool, Int

from spark.core.internal import as_flag, as_shape, real_array, require_fit
from spark.nn.payloads import SpikeArray


class InputSpec(NamedTuple):
    """The shape of the inputs, and of their batch.

    Attributes:
        shape: Shape of the spikes of one step, without batch axes; with `async_spikes`, that of the
            targets followed by that of the inputs, or along stored connections that of the inputs.
        async_spikes: Whether each connection has its own spike.
        batch: Leading axes that the state gets, one entry per sequence run side by side.
    """

    shape: tuple[int, ...]
    async_spikes: bool = False
    batch: tuple[int, ...] = ()

    def inputs(self, config: Any) -> tuple[int, ...]:
        """Shape of the inputs of synapses with a configuration."""
        of_synapses = self.async_spikes and config.connectivity == "dense"
        return self.shape[len(config.units) :] if of_synapses else self.shape


def as_spec(input_specs: Any, config: Any) -> InputSpec:
    """What will come in, by a mapping with the key `spikes`, checked against a configuration.

    Raises:
        TypeError: If it is no such mapping, has no shape there, or `async_spikes` is no boolean.
        ValueError: If a shape makes no sense, or `async_spikes` differ.
    """
    if not isinstance(input_specs, Mapping) or "spikes" not in input_specs:
        raise TypeError(
            "input_specs must be a mapping with the key 'spikes', such as "
            f"{{'spikes': InputSpec((100,))}}, got {input_specs!r}."
        )
    given = input_specs["spikes"]
    if not hasattr(given, "shape"):
        raise TypeError(f"input_specs['spikes'] must have a shape, got {given!r}.")
    shape = _as_shape("shape", given.shape)
    batch = _as_shape("batch", getattr(given, "batch", ()))
    async_spikes = as_flag("async_spikes", getattr(given, "async_spikes", config.async_spikes))
    if async_spikes != config.async_spikes:
        raise ValueError(
            f"input_specs['spikes'] has async_spikes={async_spikes}, the configuration "
            f"async_spikes={config.async_spikes}; they must agree."
        )
    units = config.units
    of_synapses = async_spikes and config.connectivity == "dense"
    least = len(units) + 1 if of_synapses else 1
    if len(shape) < least or (of_synapses and shape[: len(units)] != units):
        wanted = f"units {units} followed by the input shape" if of_synapses else "an axis or more"
        raise ValueError(f"the shape of the spikes must be {wanted}, got {shape}.")
    return InputSpec(shape, async_spikes, batch)


def as_spikes(spikes: Any, async_spikes: bool) -> SpikeArray:
    """Spikes as a payload; a plain array has the `async_spikes` that is expected.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If a payload has another `async_spikes`.
    """
    if not isinstance(spikes, SpikeArray):
        return SpikeArray(spikes, async_spikes=async_spikes)
    if spikes.async_spikes != async_spikes:
        raise ValueError(
            f"spikes have async_spikes={spikes.async_spikes}, but these synapses are configured "
            f"with async_spikes={async_spikes}; they must agree."
        )
    return spikes


def as_spikes_over(spikes: Any, async_spikes: bool, time: int) -> SpikeArray:
    """Spikes as `as_spikes` takes them, with `time` axes before those of a step.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If they have too few axes, or their mask too many.
    """
    given = as_spikes(spikes, async_spikes)
    if given.spikes.ndim < time:
        raise ValueError("spikes must have time as their leading axis, got a scalar.")
    require_no_time(given.inhibition_mask, given.spikes.shape[time:])
    return given


def require_shape(spikes: SpikeArray, wanted: tuple[int, ...], time: int) -> None:
    """Refuse spikes of another shape, time apart.

    Raises:
        ValueError: If they have one.
    """
    shape = spikes.spikes.shape[time:]
    if shape != wanted:
        after = " after time" if time else ""
        raise ValueError(
            f"spikes must have shape {wanted}{after}, got {shape}; batch axes are given to build."
        )


def require_no_time(mask: Array | None, shape: tuple[int, ...]) -> None:
    """Refuse an inhibition mask of more axes than the spikes of a step, which are of `shape`.

    Raises:
        ValueError: If it has.
    """
    if mask is not None and mask.ndim > len(shape):
        raise ValueError(
            f"inhibition_mask must have no time axis: {len(shape)} axes at most, got shape "
            f"{mask.shape}."
        )


def as_lengths(lengths: Any, batch: tuple[int, ...], time: int) -> Int[Array, "*batch"]:
    """How many of `time` steps each entry of a batch takes.

    Raises:
        TypeError: If they are no integers.
        ValueError: If their shape is not that of the batch, or one is not in [0, time].
    """
    given = real_array("lengths", lengths, "integers")
    if not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"lengths must be integers, got dtype {given.dtype}.")
    if given.shape != batch:
        raise ValueError(
            f"lengths must have the shape of the batch axes given to build, {batch}, one for each "
            f"entry; got {given.shape}."
        )
    if not isinstance(given, jax.core.Tracer):
        wrong = (given < 0) | (given > time)
        if wrong.any():
            raise ValueError(f"lengths must lie in [0, {time}], got {given[wrong][0]}.")
    return jnp.clip(jnp.asarray(given).astype(jnp.int32), 0, time)


def as_mask(mask: Any, batch: tuple[int, ...]) -> Bool[Array, "*batch"]:
    """A mask of the entries of a batch.

    Raises:
        TypeError: If it is not boolean.
        ValueError: If it does not broadcast to the batch axes.
    """
    given = real_array("mask", mask, "boolean")
    if given.dtype != bool:
        raise TypeError(f"mask must be boolean, got dtype {given.dtype}.")
    require_fit("mask", given.shape, batch)
    return jnp.broadcast_to(given, batch)


def leading(array: Array, axes: int) -> Array:
    """An array with axes of size 1 behind its own, up to so many."""
    return array.reshape(*array.shape, *(1,) * (axes - array.ndim))


def _as_shape(name: str, shape: Any) -> tuple[int, ...]:
    try:
        return as_shape(shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} in input_specs['spikes'] must be integers >= 0, got {shape!r}."
        ) from None


def outside_transforms() -> bool:
    """Whether no JAX transform is tracing this."""
    return bool(tracers.current_jax_trace() == _NO_TRANSFORM)


# A transform belongs to its thread: another thread knows how it looks without, even if one is
# tracing the import of this module.
with ThreadPoolExecutor(1) as _elsewhere:
    _NO_TRANSFORM = _elsewhere.submit(tracers.current_jax_trace).result()

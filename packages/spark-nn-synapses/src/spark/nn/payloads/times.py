"""Spikes as times and ids, the form that recordings come in, and as one array over time."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from spark.core.tracers.arguments import as_number, as_shape, steps_at

NumPyArray: TypeAlias = np.ndarray[Any, Any]


def raster(
    times: Any, ids: Any, shape: Any, dt: Any, duration: Any, graded: bool = False
) -> NumPyArray:
    """Spikes over time, of shape `(time,) + shape`; see `SpikeArray.from_times`."""
    dt = as_length("dt", dt)
    times, ids, shape = _as_row("times", times), _as_row("ids", ids), as_shape(shape)
    neurons = math.prod(shape)
    if ids.size and not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(f"ids must be integers, got dtype {ids.dtype}.")
    if times.shape != ids.shape:
        raise ValueError(f"times and ids must be as many, got {times.size} and {ids.size}.")
    ids = ids.astype(np.int64)
    wrong = (ids < 0) | (ids >= neurons)
    if wrong.any():
        raise ValueError(f"ids must lie in [0, {neurons}) for shape {shape}, got {ids[wrong][0]}.")
    wrong = ~(np.isfinite(times) & (times > 0))
    if wrong.any():
        raise ValueError(f"times must be finite and > 0, got {times[wrong][0]}.")

    steps = steps_at(times, dt).astype(np.int64)
    if duration is None:
        length = int(steps.max(initial=-1)) + 1
    else:
        end = as_length("duration", duration)
        length = int(steps_at(np.array([end]), dt)[0]) + 1
        if (steps >= length).any():
            late = times[steps >= length][0]
            raise ValueError(f"times must lie in (0, duration] = (0, {end:g}], got {late}.")

    cells, counts = np.unique(steps * neurons + ids, return_counts=True)
    if not graded and (counts > 1).any():
        first = np.argmax(counts > 1)
        step, neuron = divmod(cells[first], neurons)
        raise ValueError(
            f"{counts[first]} spikes of neuron {neuron} fall in step {step}, which ends at "
            f"{(step + 1) * dt:g}; choose a dt shorter than {dt:g}, or graded=True to count them."
        )
    spikes = np.zeros((length, neurons), np.float32 if graded else bool)
    spikes.flat[cells] = counts
    return spikes.reshape(length, *shape)


def events(spikes: NumPyArray, dt: Any) -> tuple[NumPyArray, NumPyArray]:
    """Times and ids of spikes over time; see `SpikeArray.to_times`."""
    dt = as_length("dt", dt)
    if spikes.ndim == 0:
        raise ValueError("to_times needs time as the leading axis, got spikes of shape ().")
    flat = spikes.reshape(len(spikes), math.prod(spikes.shape[1:]))
    steps, ids = np.nonzero(flat)
    counts = flat[steps, ids].astype(np.float64)
    wrong = (counts < 0) | (counts != np.round(counts)) | ~np.isfinite(counts)
    if wrong.any():
        raise ValueError(
            f"spikes must be booleans or counts for to_times, got {counts[wrong][0]:g}."
        )
    each = counts.astype(np.int64)
    return np.repeat((steps + 1) * dt, each), np.repeat(ids, each)


def as_length(name: str, value: Any) -> float:
    """A length of time.

    Raises:
        TypeError: If it is not a concrete number.
        ValueError: If it is not finite and positive.
    """
    length = as_number(name, value)
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"{name} must be finite and > 0, got {value!r}.")
    return length


def _as_row(name: str, value: Any) -> NumPyArray:
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} must be concrete, got a value traced by a JAX transform.")
    row = np.asarray(value)
    if not (jnp.issubdtype(row.dtype, jnp.floating) or jnp.issubdtype(row.dtype, jnp.integer)):
        raise TypeError(f"{name} must be an array of numbers, got dtype {row.dtype}.")
    if row.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {row.shape}.")
    return row

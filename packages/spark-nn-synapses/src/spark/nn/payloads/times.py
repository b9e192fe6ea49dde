"""Spikes as times and ids, the form that recordings come in, and as one array over time."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, TypeAlias

import numpy as np

from spark.core.internal import (
    CLOSED,
    as_indices,
    as_length,
    as_row,
    as_shape,
    as_tolerance,
    count_steps,
    one_of,
    steps_at,
)

NumPyArray: TypeAlias = np.ndarray[Any, Any]


def raster(
    times: Any,
    ids: Any,
    shape: Any,
    dt: Any,
    duration: Any,
    graded: bool = False,
    tolerance: Any = 0.0,
    closed: str = "right",
) -> NumPyArray:
    """Spikes over time, of shape `(time,) + shape`; see `SpikeArray.from_times`."""
    length_of_step, tolerance = as_length("dt", dt), as_tolerance(tolerance)
    one_of("closed", closed, CLOSED)
    times, shape = as_row("times", times), as_shape(shape)
    neurons = math.prod(shape)
    ids = as_indices("ids", ids, len(times), neurons)
    wrong = ~(np.isfinite(times) & ((times >= 0) if closed == "left" else (times > 0)))
    if wrong.any():
        least = ">= 0" if closed == "left" else "> 0"
        raise ValueError(
            f"times must be finite and {least}, got {times[wrong][0]} of neuron {ids[wrong][0]}."
        )

    steps = steps_at(times, dt, tolerance, closed)
    length = steps.max(initial=-1) + 1
    if duration is not None:
        end = as_length("duration", duration)
        length = count_steps(duration, dt, tolerance)
        if (steps >= length).any():
            within = f"[0, duration) = [0, {end:g})"
            if closed == "right":
                within = f"(0, duration] = (0, {end:g}]"
            raise ValueError(f"times must lie in {within}, got {times[steps >= length][0]}.")
    return fill(steps, ids, length, neurons, length_of_step, graded).reshape(int(length), *shape)


def fill(
    steps: NumPyArray, ids: NumPyArray, length: float, neurons: int, dt: float, graded: bool
) -> NumPyArray:
    """Spikes of shape `(time, neurons)`, from the step and the neuron of each.

    Step -1 stands for a spike at the very start, which counts in step 0.

    Raises:
        ValueError: If the array has 2^31 steps and more, or is larger than the memory of this
            machine; or if two spikes of a neuron fall in one step and are not `graded`, that is,
            counted.
    """
    dtype = np.dtype(np.float32 if graded else bool)
    _require_memory(length, neurons, dt, dtype)
    cells = np.maximum(steps, 0).astype(np.int64) * neurons + ids
    cells, counts = np.unique(cells, return_counts=True)
    if not graded and (counts > 1).any():
        first = np.argmax(counts > 1)
        step, neuron = divmod(int(cells[first]), neurons)
        remedy = f"choose a dt shorter than {dt:g}, or graded=True to count them"
        if step == 0 and (steps[ids == neuron] < 0).any():
            remedy = (
                "one lies at the very start: give closed='left' for sampled data, where a step "
                "begins with its sample, or graded=True to count them"
            )
        raise ValueError(
            f"{counts[first]} spikes of neuron {neuron} fall in step {step}, which ends at "
            f"{(step + 1) * dt:g}; {remedy}."
        )
    spikes = np.zeros((int(length), neurons), dtype)
    spikes.flat[cells] = counts
    return spikes


def events(spikes: NumPyArray, dt: Any, closed: str = "right") -> tuple[NumPyArray, NumPyArray]:
    """Times and ids of spikes over time; see `SpikeArray.to_times`."""
    dt, at_end = as_length("dt", dt), one_of("closed", closed, CLOSED) == "right"
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
    return np.repeat((steps + at_end) * dt, each), np.repeat(ids, each)


def _require_memory(length: float, neurons: int, dt: float, dtype: np.dtype[Any]) -> None:
    size = max(length, 1) * max(neurons, 1) * dtype.itemsize
    # JAX indexes an axis by 32 bits.
    if size > memory() or length >= 2**31:
        raise ValueError(
            f"{length:g} steps of dt = {dt:g}, up to a time of {length * dt:g}, by {neurons} "
            f"neurons take {size / 2**30:.3g} GiB in {dtype}; they must be fewer than 2^31 steps "
            f"and take at most the {memory() / 2**30:.3g} GiB of memory here. Are the times in the "
            "unit of dt? For long silences, give the times to a tracer's jump."
        )


def memory() -> int:
    """Bytes of memory of this machine; where the platform does not tell, all addresses."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize

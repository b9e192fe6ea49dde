"""Spike trains, one array of times for each neuron, as one array over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from spark.core.tracers.arguments import as_length
from spark.nn.payloads import SpikeArray
from spark.nn.payloads.times import NumPyArray


def gather(
    trains: Iterable[Any],
    start: float,
    stop: float | None,
    dt: float,
    second: float,
    inhibition_mask: ArrayLike | None,
    graded: bool,
) -> SpikeArray:
    """Spikes of a recording, which begins with the first step.

    This is the only place where seconds become the unit of `dt`. A spike at `start` itself counts
    in the first step.

    Args:
        trains: Times of the spikes of each neuron, in seconds; none after `stop`.
        start: Where the recording begins, in seconds.
        stop: Where it ends; None ends it after the step of the last spike.
        dt: Time step.
        second: One second in the unit of `dt`.
        inhibition_mask: As in `SpikeArray`.
        graded: As in `SpikeArray.from_times`.

    Returns:
        Spikes of shape `(time, neurons)`.

    Raises:
        TypeError: If times are no numbers.
        ValueError: If a time is not finite or lies before the start, or two spikes of a neuron fall
            in one step.
    """
    dt, second = as_length("dt", dt), as_length("second", second)
    rows = [_as_times(neuron, train) for neuron, train in enumerate(trains)]
    # Reading, rescaling and subtracting round a time, each to the digits that it came with.
    digits = 4 * max((float(jnp.finfo(row.dtype).eps) for row in rows), default=0.0)

    def since_start(times: NumPyArray) -> NumPyArray:
        elapsed = (times.astype(np.float64) - start) * second
        slack = digits * np.maximum(np.abs(times), abs(start)) * second
        nearest = np.round(elapsed / dt) * dt
        return np.where(np.abs(elapsed - nearest) <= slack, nearest, elapsed)

    ids = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    times = since_start(np.concatenate([np.empty(0, np.float32), *rows]))
    if (times < 0).any():
        first = int(np.argmin(times))
        raise ValueError(
            f"spikes must not lie before the start at {start:g} s, got one of neuron {ids[first]} "
            f"{-times[first] / second:g} s before it."
        )
    times = np.where(times == 0, dt, times)
    duration = None if stop is None else float(since_start(np.array(stop)))
    return SpikeArray.from_times(
        times, ids, len(rows), dt, duration, inhibition_mask, graded=graded
    )


def _as_times(neuron: int, train: Any) -> NumPyArray:
    row = np.asarray(train)
    if row.dtype == int:
        row = row.astype(np.float64)
    if not jnp.issubdtype(row.dtype, jnp.floating) or row.ndim != 1:
        raise TypeError(
            f"spike times of neuron {neuron} must be numbers in a row, got dtype {row.dtype} and "
            f"shape {row.shape}."
        )
    if not np.isfinite(row).all():
        raise ValueError(
            f"spike times of neuron {neuron} must be finite, got {row[~np.isfinite(row)][0]}."
        )
    return row

"""Spike trains, one array of times for each neuron, as one array over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spark.core.internal import (
    CLOSED,
    as_length,
    as_row,
    as_tolerance,
    epsilon,
    one_of,
    require_values,
    snapped,
    step_of,
)
from spark.nn.payloads import SpikeArray
from spark.nn.payloads.times import NumPyArray, fill


class Train(NamedTuple):
    """Times of the spikes of a neuron.

    Attributes:
        times: In seconds, in float64.
        epsilon: Relative spacing of the numbers that they came in.
    """

    times: NumPyArray
    epsilon: float


def as_train(neuron: int, times: Any, unit: float = 1.0) -> Train:
    """Check times of spikes.

    Args:
        neuron: Which neuron an error names.
        times: Integers or floats in a row.
        unit: Their unit, in seconds.

    Raises:
        TypeError: If they are not numbers in a row.
        ValueError: If one is not finite.
    """
    name = f"spike times of neuron {neuron}"
    row = as_row(name, times)
    require_values(name, row, np.isfinite, "be finite")
    return Train(row.astype(np.float64) * unit, epsilon(row.dtype))


def gather(
    trains: Sequence[Train],
    start: float,
    stop: float | None,
    dt: float,
    second: float,
    inhibition_mask: ArrayLike | None,
    graded: bool,
    tolerance: float,
    closed: str,
    cut: bool = False,
    stop_epsilon: float = 0.0,
) -> SpikeArray:
    """Spikes of a recording, which begins with the first step.

    This is the only place where seconds become the unit of `dt`. A spike at `start` itself counts
    in the first step; where steps are closed left, one at `stop` itself begins one more.

    Args:
        trains: Times of the spikes of each neuron; none after `stop`, unless they are cut.
        start: Where the recording begins, in seconds.
        stop: Where it ends; None ends it after the step of the last spike.
        dt: Time step.
        second: One second in the unit of `dt`.
        inhibition_mask: As in `SpikeArray`.
        graded: As in `SpikeArray.from_times`, like `tolerance` and `closed`.
        tolerance: See there.
        closed: See there.
        cut: Take the spikes from `start` to `stop` alone; the latter is left out where steps are
            closed left. Otherwise one before `start` is refused.
        stop_epsilon: Relative spacing of the numbers that `stop` came in.

    Returns:
        Spikes of shape `(time, neurons)`.

    Raises:
        TypeError: If a length of time is not a number.
        ValueError: If a time lies before the start, two spikes of a neuron fall in one step, or the
            steps are too many.
    """
    digits = max(epsilon(np.asarray(length).dtype) for length in (dt, second))
    dt, second = as_length("dt", dt), as_length("second", second)
    tolerance = as_tolerance(tolerance)
    one_of("closed", closed, CLOSED)

    def since_start(times: NumPyArray, epsilon: Any) -> tuple[NumPyArray, NumPyArray]:
        """Positions in steps, and how far one may be off another by rounding."""
        elapsed = times - start
        # Rounded are, in the dtype of the times: start; a time step and a multiple of it; and the
        # sum, a time. In float64: two operations on times and start, four on the elapsed time.
        rounding = (epsilon / 2 + np.finfo(float).eps) * (
            abs(start) + 2 * np.abs(elapsed) + np.abs(times)
        )
        with np.errstate(over="ignore"):
            position, slack = elapsed * second / dt, rounding * second / dt
        return snapped(position, slack + digits / 2 * np.abs(position) + tolerance), slack

    sizes = [len(train.times) for train in trains]
    ids = np.repeat(np.arange(len(trains)), sizes)
    times = np.concatenate([np.empty(0), *[train.times for train in trains]])
    position, slack = since_start(times, np.repeat([train.epsilon for train in trains], sizes))
    length = 0.0
    if stop is not None:
        end = float(since_start(np.array(stop), stop_epsilon)[0])
        position = np.where(np.abs(position - end) <= slack, end, position)
        length = math.ceil(end)
        if cut:
            inside = (position >= 0) & ((position < end) if closed == "left" else (position <= end))
            position, ids = position[inside], ids[inside]
    if (position < 0).any():
        first = int(np.argmin(position))
        raise ValueError(
            f"spikes must not lie before the start at {start:g} s, got one of neuron {ids[first]} "
            f"{-position[first] * dt / second:g} s before it."
        )
    steps = step_of(position, closed)
    length = max(length, float(steps.max(initial=-1)) + 1)
    return SpikeArray(fill(steps, ids, length, len(trains), dt, graded), inhibition_mask)

"""Units of NWB files, the recorded neurons, as arrays of spikes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from spark.core.internal import as_exact, epsilon
from spark.nn.payloads import SpikeArray

from .trains import as_train, gather


def from_nwb(
    units: Any,
    dt: float = 1.0,
    *,
    interval: tuple[float, float] | None = None,
    second: float = 1000.0,
    inhibition_mask: ArrayLike | None = None,
    graded: bool = False,
    tolerance: float = 0.0,
    closed: Literal["right", "left"] = "right",
) -> SpikeArray:
    """Spikes over time, from the units table of an NWB file, one neuron for each row.

    A step covers `(t, t + dt]`; a spike at the very start counts in the first one.

    Args:
        units: The table, or a data frame of some of its rows: anything with a column `spike_times`,
            of times in seconds, integers or floats.
        dt: Time step (ms by convention).
        interval: Start and stop, in seconds of the file, of the part to take, both included to the
            digits of the times. None takes all spikes, from 0 to the step of the last one.
        second: One second in the unit of `dt`.
        inhibition_mask: True where a neuron inhibits; of shape `(neurons,)`.
        graded: Count the spikes of a neuron in a step, in float32. Otherwise two are refused.
        tolerance: A time this close to a multiple of `dt`, as a fraction of `dt` and counted from
            the start, counts as that multiple: 0.01, say, for times that a clock has added up.
            Rounding to the digits of the times is allowed for in any case.
        closed: Which end of a step belongs to it. `"left"` is for sampled data: steps are
            `[t, t + dt)`, so that a spike at the start belongs to the first and one `dt` later to
            the second. An interval then ends before its stop.

    Returns:
        Spikes of shape `(time, neurons)`.

    Raises:
        TypeError: If there is no such column.
        ValueError: If the interval is empty, a time is not finite, a spike lies before 0 and no
            interval is given, two spikes of a neuron fall in one step, or the array is larger than
            the memory of this machine.

    Example:
        >>> from spark.nn.interchange import from_nwb
        >>> units = {"spike_times": [[0.0004, 0.0021], [0.003]]}  # stands for nwbfile.units
        >>> from_nwb(units, interval=(0.002, 0.004)).spikes.astype(int)
        Array([[1, 1], [0, 0]], dtype=int32)
    """
    try:
        rows = list(units["spike_times"])
    except (KeyError, TypeError):
        raise TypeError(
            "units must be a table with a column spike_times, such as nwbfile.units, got "
            f"{type(units).__name__}."
        ) from None
    trains = [as_train(neuron, row) for neuron, row in enumerate(rows)]
    start, stop = (0.0, None) if interval is None else _as_interval(interval)
    return gather(
        trains,
        start,
        stop,
        dt,
        second,
        inhibition_mask,
        graded,
        tolerance,
        closed,
        cut=interval is not None,
        stop_epsilon=0.0 if interval is None else epsilon(np.asarray(interval[1]).dtype),
    )


def _as_interval(interval: Any) -> tuple[float, float]:
    start, stop = (as_exact("interval", end) for end in interval)
    if not -math.inf < start < stop < math.inf:
        raise ValueError(
            f"interval must be finite and go from start to a later stop, got {interval!r}."
        )
    return start, stop

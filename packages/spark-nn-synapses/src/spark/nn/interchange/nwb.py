"""Units of NWB files, the recorded neurons, as arrays of spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spark.nn.payloads import SpikeArray

from .trains import gather


def from_nwb(
    units: Any,
    dt: float = 1.0,
    *,
    interval: tuple[float, float] | None = None,
    second: float = 1000.0,
    inhibition_mask: ArrayLike | None = None,
    graded: bool = False,
) -> SpikeArray:
    """Spikes over time, from the units table of an NWB file, one neuron for each row.

    A step covers `(t, t + dt]`; a spike at the very start counts in the first one.

    Args:
        units: The table, or a data frame of some of its rows: anything with a column `spike_times`,
            of times in seconds.
        dt: Time step (ms by convention).
        interval: Start and stop, in seconds of the file, of what is taken, both included. None
            takes all spikes, from 0 to the step of the last one.
        second: One second in the unit of `dt`.
        inhibition_mask: True where a neuron inhibits; of shape `(neurons,)`.
        graded: Count the spikes of a neuron in a step, in float32. Otherwise two are refused.

    Returns:
        Spikes of shape `(time, neurons)`.

    Raises:
        TypeError: If there is no such column.
        ValueError: If the interval is empty, a spike lies before 0 and no interval is given, or two
            spikes of a neuron fall in one step.

    Example:
        >>> from spark.nn.interchange import from_nwb
        >>> units = {"spike_times": [[0.0004, 0.0021], [0.003]]}  # stands for nwbfile.units
        >>> from_nwb(units, interval=(0.002, 0.004)).spikes.astype(int)
        Array([[1, 1], [0, 0]], dtype=int32)
    """
    try:
        trains = [np.asarray(train) for train in units["spike_times"]]
    except (KeyError, TypeError):
        raise TypeError(
            "units must be a table with a column spike_times, such as nwbfile.units, got "
            f"{type(units).__name__}."
        ) from None
    start, stop = 0.0, None
    if interval is not None:
        start, stop = interval
        if not start < stop:
            raise ValueError(f"interval must go from start to a later stop, got {interval!r}.")
        trains = [train[(start <= train) & (train <= stop)] for train in trains]
    return gather(trains, start, stop, dt, second, inhibition_mask, graded)

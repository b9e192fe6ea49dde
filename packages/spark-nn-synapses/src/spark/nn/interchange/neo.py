"""Spike trains of Neo as arrays of spikes, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from spark.core.internal import as_length, epsilon, exact_number
from spark.nn.payloads import SpikeArray

from .extras import require
from .trains import as_train, gather

if TYPE_CHECKING:
    import neo


def from_neo(
    trains: Sequence[neo.SpikeTrain] | neo.Segment,
    dt: float = 1.0,
    *,
    second: float = 1000.0,
    inhibition_mask: ArrayLike | None = None,
    graded: bool = False,
    tolerance: float = 0.0,
    closed: Literal["right", "left"] = "right",
) -> SpikeArray:
    """Spikes over time, from the spike trains of Neo, one for each neuron.

    The first step begins at `t_start` of the trains, and the last one ends at their `t_stop` or,
    where that is no multiple of `dt`, after it. A step covers `(t, t + dt]`; a spike at `t_start`
    itself counts in the first one.

    Args:
        trains: Spike trains that share `t_start` and `t_stop`, in any units; or a `Segment`, of
            which all are taken.
        dt: Time step (ms by convention).
        second: One second in the unit of `dt`.
        inhibition_mask: True where a neuron inhibits; of shape `(neurons,)`.
        graded: Count the spikes of a neuron in a step, in float32. Otherwise two are refused.
        tolerance: A time this close to a multiple of `dt`, as a fraction of `dt` and counted from
            `t_start`, counts as that multiple: 0.01, say, for times that a clock has added up.
            Rounding to the digits of the times is allowed for in any case.
        closed: Which end of a step belongs to it. `"left"` is for sampled data: steps are
            `[t, t + dt)`, so that a spike at `t_start` belongs to the first and one `dt` later to
            the second; one at `t_stop` begins one more step.

    Returns:
        Spikes of shape `(time, neurons)`.

    Raises:
        TypeError: If they are no spike trains.
        ValueError: If there is none, they do not share `t_start` and `t_stop`, a time is not
            finite, two spikes of a neuron fall in one step, or the array is larger than the memory
            of this machine.

    Example:
        >>> import neo
        >>> from spark.nn.interchange import from_neo
        >>> trains = [
        ...     neo.SpikeTrain([0.1002, 0.102], units="s", t_start=0.1, t_stop=0.104),
        ...     neo.SpikeTrain([100.0], units="ms", t_start=100.0, t_stop=104.0),
        ... ]
        >>> from_neo(trains).spikes.astype(int)  # steps of 1 ms
        Array([[1, 1], [1, 0], [0, 0], [0, 0]], dtype=int32)
    """
    rows = list(getattr(trains, "spiketrains", trains))
    for row in rows:
        if not hasattr(row, "t_start"):
            raise TypeError(
                f"trains must be spike trains of Neo, several of them or a Segment, got {trains!r}."
            )
    if not rows:
        raise ValueError("trains must be one spike train or more, got none.")
    start, stop = (_common(name, rows) for name in ("t_start", "t_stop"))
    times = [as_train(neuron, row.magnitude, _unit(row)) for neuron, row in enumerate(rows)]
    return gather(
        times,
        start,
        stop,
        dt,
        second,
        inhibition_mask,
        graded,
        tolerance,
        closed,
        stop_epsilon=times[0].epsilon,
    )


def to_neo(
    spikes: SpikeArray,
    dt: float = 1.0,
    *,
    second: float = 1000.0,
    closed: Literal["right", "left"] = "right",
) -> list[neo.SpikeTrain]:
    """Spike trains of Neo, from spikes over time; the counterpart of `from_neo`.

    Args:
        spikes: Spikes with time as the leading axis. A value of k stands for k spikes; an
            inhibition mask has no place in a spike train and is left out.
        dt: Time step (ms by convention).
        second: One second in the unit of `dt`.
        closed: As in `from_neo`.

    Returns:
        A train for each neuron, in row-major order, in seconds and from 0 on. Each spike lies at
        the end of its step, or at its beginning where that is the end which belongs to it.

    Raises:
        ModuleNotFoundError: If Neo is not installed.
        TypeError: If it is no `SpikeArray`, or one traced by a JAX transform.
        ValueError: If there is no time axis, or a value is no whole number >= 0.

    Example:
        >>> from spark.nn.interchange import to_neo
        >>> from spark.nn.payloads import SpikeArray
        >>> spikes = SpikeArray([[True, False], [False, False], [True, True]])
        >>> [train.rescale("ms") for train in to_neo(spikes)]
        [<SpikeTrain(array([1., 3.]) * ms, [0.0 ms, 3.0 ms])>,
         <SpikeTrain(array([3.]) * ms, [0.0 ms, 3.0 ms])>]
    """
    neo = require("neo", "to_neo")
    if not isinstance(spikes, SpikeArray):
        raise TypeError(f"spikes must be a SpikeArray, got {type(spikes).__name__}.")
    dt, second = as_length("dt", dt), as_length("second", second)
    times, ids = spikes.to_times(dt, closed=closed)
    neurons = math.prod(spikes.shape[1:])
    by_neuron = np.argsort(ids, kind="stable")
    cuts = np.searchsorted(ids[by_neuron], np.arange(1, neurons))
    trains = np.split(times[by_neuron] / second, cuts) if neurons else []
    stop = len(spikes) * dt / second
    return [neo.SpikeTrain(train, units="s", t_stop=stop) for train in trains]


def _unit(quantity: Any) -> float:
    """The unit of a quantity, in seconds."""
    return float(quantity.units.rescale("s").magnitude)


def _common(name: str, rows: Sequence[Any]) -> float:
    """A time that all trains share, in seconds, to the digits of the coarsest."""
    ends = [getattr(row, name) for row in rows]
    each = np.array([exact_number(end.magnitude) * _unit(end) for end in ends])
    digits = 4 * max(epsilon(row.dtype) for row in rows)
    if np.ptp(each) > digits * np.abs(each).max():
        raise ValueError(
            f"trains must share {name}, got {each.min():g} s and {each.max():g} s; cut them by "
            "time_slice."
        )
    return float(each[0])

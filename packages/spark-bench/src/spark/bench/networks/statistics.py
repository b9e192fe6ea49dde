"""Statistics of the spikes of a population: rate, regularity, synchrony."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from .spikes import Spikes

BIN = 3.0
"""Width of the bins of synchrony, ms."""

INTERVALS = 3
"""A neuron with fewer intervals has no coefficient of variation."""

TRANSIENT = 500.0
"""What is left out at the beginning, ms; a short run leaves out half of its time."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of a population.

    Attributes:
        rate: Spikes per second of a neuron, on average.
        cv: Coefficient of variation of the intervals of a neuron, on average over those that have
            at least `INTERVALS`; NaN if none has.
        synchrony: Variance of the number of spikes of the population in bins of 3 ms, over its
            mean; NaN without spikes.
    """

    rate: float
    cv: float
    synchrony: float


def statistics(spikes: Spikes, populations: Mapping[str, range]) -> dict[str, Statistics]:
    """Statistics of each population, after the transient.

    Args:
        spikes: Spikes of the network.
        populations: Neurons of each.
    """
    after = min(TRANSIENT, spikes.steps * spikes.dt / 2)
    return {name: of_population(spikes.of(each, after)) for name, each in populations.items()}


def silent_from(spikes: Spikes) -> float | None:
    """When the activity ended, ms; None if it goes on in the last tenth of the run.

    Args:
        spikes: Spikes of the network.
    """
    last = int(spikes.step[-1]) + 1 if len(spikes) else 0
    return None if last > 0.9 * spikes.steps else last * spikes.dt


def of_population(spikes: Spikes) -> Statistics:
    """Statistics of all neurons.

    Args:
        spikes: Their spikes.
    """
    seconds = spikes.steps * spikes.dt / 1000
    each = coefficients_of_variation(spikes)
    width = round(BIN / spikes.dt)
    bins = spikes.steps // width
    counts = np.bincount(spikes.step // width, minlength=bins)[:bins]
    return Statistics(
        rate=len(spikes) / (seconds * spikes.neurons),
        cv=float(each.mean()) if each.size else math.nan,
        synchrony=float(counts.var() / counts.mean()) if counts.any() else math.nan,
    )


def rates(spikes: Spikes) -> np.ndarray:
    """Spikes per second of each neuron.

    Args:
        spikes: Their spikes.
    """
    counts = np.bincount(spikes.neuron, minlength=spikes.neurons)
    return counts * 1000 / (spikes.steps * spikes.dt)


def coefficients_of_variation(spikes: Spikes) -> np.ndarray:
    """Standard deviation over mean of the intervals of each neuron that has `INTERVALS` of them.

    Args:
        spikes: Spikes of all neurons.
    """
    order = np.lexsort((spikes.step, spikes.neuron))
    neuron, step = spikes.neuron[order], spikes.step[order].astype(float)
    same = neuron[1:] == neuron[:-1]
    of, intervals = neuron[1:][same], np.diff(step)[same]
    count = np.bincount(of, minlength=spikes.neurons)
    enough = count >= INTERVALS
    mean = np.bincount(of, intervals, spikes.neurons)[enough] / count[enough]
    square = np.bincount(of, intervals**2, spikes.neurons)[enough] / count[enough]
    return np.sqrt(np.maximum(square - mean**2, 0)) / mean


def in_spread(value: float, seeds: Sequence[float], chance: float) -> bool:
    """Whether a value may come from the same normal law as those of some seeds.

    That is, whether it lies in their prediction interval by Student's t. Two NaNs agree.

    Args:
        value: A statistic of one more seed.
        seeds: The same statistic of some seeds.
        chance: Probability that one of the same law lies outside.
    """
    given = np.asarray(seeds, float)
    if math.isnan(value) or np.isnan(given).any():
        return math.isnan(value) and bool(np.isnan(given).any())
    count = len(given)
    width = stats.t.isf(chance / 2, count - 1) * given.std(ddof=1) * math.sqrt(1 + 1 / count)
    return bool(abs(value - given.mean()) <= width)

"""Ratios of times, with a confidence interval that counts processes as the evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .records import Record

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A ratio of times, new over old.

    Attributes:
        value: Ratio of the medians.
        low: Lower end of the confidence interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`"slower"` or `"faster"` where the interval lies on one side of 1, else `"same"`."""
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "same"

    def exceeds(self, bound: float) -> bool:
        """Whether it is above a bound, and its confidence interval above 1."""
        return self.value > bound and self.low > 1


def ratio(
    new: Sequence[Sequence[float]],
    old: Sequence[Sequence[float]],
    seed: int = 0,
    resamples: int = 2000,
) -> Ratio:
    """Ratio of the medians of two sets of times, with its confidence interval.

    The bootstrap resamples processes, then values within them: two values of one process share its
    memory layout and its luck, and are no independent evidence.

    Args:
        new: Values of each process.
        old: The same of the denominator.
        seed: Seed of the resampling.
        resamples: Number of resamples.

    References:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    rng = np.random.default_rng(seed)
    medians = [np.median(np.concatenate([np.asarray(p) for p in side])) for side in (new, old)]
    resampled = _resampled_medians(new, rng, resamples) / _resampled_medians(old, rng, resamples)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Ratio(float(medians[0] / medians[1]), float(low), float(high))


def _resampled_medians(
    processes: Sequence[Sequence[float]], rng: np.random.Generator, resamples: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = [np.asarray(process, np.float64) for process in processes]
    medians = np.empty(resamples)
    for resample in range(resamples):
        drawn = [values[i] for i in rng.integers(len(values), size=len(values))]
        medians[resample] = np.median(
            np.concatenate(
                [process[rng.integers(len(process), size=len(process))] for process in drawn]
            )
        )
    return medians


def compare(new: Mapping[str, Record], old: Mapping[str, Record]) -> dict[str, Ratio]:
    """Ratio of each case that both files hold.

    Raises:
        ValueError: If they have no case in common.
    """
    common = [name for name in new if name in old]
    if not common:
        raise ValueError("the two files have no case in common.")
    return {name: ratio(new[name].processes, old[name].processes) for name in common}

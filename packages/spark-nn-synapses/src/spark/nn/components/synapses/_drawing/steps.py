"""Whole steps from random bits: a table of limits, so that every device draws the same steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from spark.nn.initializers.distributions import Distribution

_BITS = 32


def step_limits(name: str, delays: Distribution, dt: float) -> tuple[int, np.ndarray[Any, Any]]:
    """A distribution of delays as one of whole steps.

    A delay is rounded to the nearest step, and half a step upwards. Each step then belongs to a
    range of random words of 32 bits.

    Args:
        name: What an error calls the delays.
        delays: Their distribution, of numbers >= 0 in the unit of the time step.
        dt: Time step.

    Returns:
        The shortest delay in steps; and for it and each longer one but the last, the first word of
        the range of the next, ascending.

    Raises:
        ValueError: If a delay may be too long to count.
    """
    inverse = delays.inverse

    def steps(words: Any) -> Any:
        uniform = (np.asarray(words, np.float64) + 0.5) * 2.0**-_BITS
        # Ascending, also where the upper tail is drawn by a negative scale.
        uniform = 1 - uniform if inverse.scale < 0 else uniform
        return np.floor(inverse.at(uniform, ndtri, np) / dt + 0.5)

    first, last = steps(0), steps(2**_BITS - 1)
    if not last < 2**20:
        raise ValueError(f"{name} must be below 2^20 steps, got up to {last:g}.")
    wanted = np.arange(first + 1, last + 1)
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), 2**_BITS - 1)
    for _ in range(_BITS):  # by bisection: the first word that gives so many steps or more
        middle = (low + high) // 2
        enough = steps(middle) >= wanted
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return int(first), high.astype(np.uint32)

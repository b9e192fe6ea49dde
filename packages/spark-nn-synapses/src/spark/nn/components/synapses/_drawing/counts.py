"""How many partners each line has, by the law of a rule."""

from __future__ import annotations

import numpy as np

from .lines import Ints
from .streams import at, below, low_below, uniform

_CHUNK = 1 << 16


def binomial(key: int, lines: Ints, sizes: Ints, probability: float) -> Ints:
    """Of each line, how many of its possible partners are there, each with a probability."""
    draws, counts = uniform(at(key, lines)), np.zeros(len(sizes), np.int64)
    for size in np.unique(sizes):
        first, cumulative = _binomial_table(int(size), probability)
        these = sizes == size
        counts[these] = first + np.searchsorted(cumulative, draws[these], side="right")
    return counts


def _binomial_table(size: int, probability: float) -> tuple[int, np.ndarray]:
    """The lowest count that a draw may give, and the CDF from there on but for its last entry.

    Only products, so that it is the same on every machine. Counts that are left out are less likely
    than 1e-30.
    """
    if probability == 1 or size == 0:
        return size, np.empty(0)
    mode = int((size + 1) * probability)
    reach = int(12 * np.sqrt(size * probability * (1 - probability))) + 40
    odds = probability / (1 - probability)
    up = np.arange(mode, min(size, mode + reach))
    down = np.arange(mode, max(0, mode - reach), -1)
    above = np.cumprod(odds * (size - up) / (up + 1))
    under = np.cumprod(down / (size - down + 1) / odds)
    density = np.concatenate([under[::-1], [1.0], above])
    cumulative = np.cumsum(density)
    return mode - len(down), cumulative[:-1] / cumulative[-1]


def of_total(key: int, sizes: Ints, total: int, distinct: bool) -> Ints:
    """Of each line, how many of a number of connections are its own; all partners are as likely.

    A line and a partner are drawn until there are as many connections. By symmetry each set of them
    is as likely, if they must be distinct.
    """
    if total == 0:
        return np.zeros(len(sizes), np.int64)
    if distinct and 2 * total > sizes.sum():
        return sizes - of_total(key, sizes, int(sizes.sum()) - total, True)
    width, done = int(sizes.max()), 0
    counts, found = np.zeros(len(sizes), np.int64), np.empty(0, np.int64)
    while (left := total - (len(found) if distinct else int(counts.sum()))) > 0:
        drawn = [found]
        for first in range(done, done + left, _CHUNK):
            bits = at(key, np.arange(first, min(first + _CHUNK, done + left)))
            line, value = below(bits, len(sizes)), low_below(bits, width)
            there = value < sizes[line]
            if distinct:
                drawn.append(line[there] * width + value[there])
            else:
                counts += np.bincount(line[there], minlength=len(sizes))
        done += left
        found = np.unique(np.concatenate(drawn))
    return np.bincount(found // width, minlength=len(sizes)) if distinct else counts

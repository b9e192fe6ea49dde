"""Where rows of stored connections begin, end and lead; rows before their turn.

Sums over inputs have, for each entry of a batch, some places: the targets, or those of a ring of
later steps, step by step. Connections lead to places as seen from step 0 of the ring; `origin` is
the place of the first target of the current step.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import prefetch

AHEAD = 2  # how many spikes before its turn a row is asked for

GRAIN = 16_384
"""Connections that are worth another thread."""


@njit(forceinline=True)
def row_of(starts, connections, width, i):
    """Where the row of an input begins and ends; rows of one length, `width`, have one start."""
    if starts.size == 1:
        return i * width, (i + 1) * width
    return min(np.int64(starts[i]), connections), min(np.int64(starts[i + 1]), connections)


@njit(forceinline=True)
def part_of_row(starts, connections, width, i, part, parts):
    """Where a part of the row of an input begins and ends; parts are of one length."""
    low, high = row_of(starts, connections, width, i)
    if parts == 1:
        return low, high
    length = high - low
    return low + length * part // parts, low + length * (part + 1) // parts


@njit(forceinline=True)
def ask_for(starts, indices, weights, width, i, part, parts):
    """Ask for about the part of a row."""
    low, high = part_of_row(starts, indices.size, width, i, part, parts)
    for c in range(low, high, 16):
        prefetch(weights, c)
    for c in range(low, high, 32):
        prefetch(indices, c)


@njit(forceinline=True)
def all_inside(indices, low, high):
    """Whether all indices of a row are from `low` on, and below `high`."""
    largest = np.uint64(0)
    for c in range(indices.size):
        largest = max(largest, np.uint64(indices[c]) - np.uint64(low))
    return largest < np.uint64(high - low) or indices.size == 0


@njit(forceinline=True)
def ring_place(index, origin, places):
    """A place of a ring, as seen from its current step."""
    place = np.uint64(index) + np.uint64(origin)
    return place - np.uint64(places) if place >= np.uint64(places) else place

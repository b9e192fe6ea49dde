"""Sums along stored connections, and their transposes: loops over the rows of inputs that spike.

Sums over inputs have, for each entry of a batch, some places: the targets, or those of a ring of
later steps, step by step. Connections lead to places as seen from step 0 of the ring; `origin` is
the place of the first target of the current step. A row that leads elsewhere is left out, and the
kernel returns False.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import find_spikes, number, prefetch, size_of

_AHEAD = 2  # how many spikes before its turn a row is asked for


@njit
def _row(starts, connections, inputs, i):
    """Where the row of an input begins and ends; rows of one length have one start alone."""
    if starts.size == 1:
        width = connections // inputs
        return i * width, (i + 1) * width
    return min(np.int64(starts[i]), connections), min(np.int64(starts[i + 1]), connections)


@njit
def _ask_for(starts, indices, weights, inputs, i):
    low, high = _row(starts, indices.size, inputs, i)
    for c in range(low, high, 16):
        prefetch(weights, c)
    for c in range(low, high, 32):
        prefetch(indices, c)


@njit
def _inside(indices, places):
    """Whether all indices of a row are places: looked up before, so that no other loop has to."""
    largest = np.uint64(0)
    for c in range(indices.size):
        largest = max(largest, np.uint64(indices[c]))
    return largest < np.uint64(places) or indices.size == 0


@njit
def _from(index, origin, places):
    """A place of a ring, as seen from its current step."""
    place = np.uint64(index) + np.uint64(origin)
    return place - np.uint64(places) if place >= np.uint64(places) else place


# The next two are alike, and each whole: parts of them as functions take a tenth more time, and
# numba keeps nothing in its cache that is given a function.


@njit
def to_targets(starts, indices, weights, spikes, inputs, origin, sums, places):
    """Add to the sums of each entry of a batch: weight times spike of each connection."""
    found = np.empty(inputs, np.int32)
    inside = True
    for b in range(sums.size // max(places, 1)):
        count = find_spikes(spikes, b * inputs, inputs, found)
        own = sums[b * places : (b + 1) * places]
        for k in range(count):
            if k + _AHEAD < count:
                _ask_for(starts, indices, weights, inputs, found[k + _AHEAD])
            low, high = _row(starts, indices.size, inputs, found[k])
            row, values = indices[low:high], weights[low:high]
            spike = sums.dtype.type(size_of(spikes[b * inputs + found[k]]))
            if not _inside(row, places):
                inside = False
            elif origin == 0:
                for c in range(row.size):
                    own[np.uint64(row[c])] += number(values[c]) * spike
            else:
                for c in range(row.size):
                    own[_from(row[c], origin, places)] += number(values[c]) * spike
    return inside


@njit
def to_weights(starts, indices, spikes, sums, inputs, origin, gains, places):
    """Add to the gain of each weight: spike times sum."""
    found = np.empty(inputs, np.int32)
    inside = True
    for b in range(sums.size // max(places, 1)):
        count = find_spikes(spikes, b * inputs, inputs, found)
        own = sums[b * places : (b + 1) * places]
        for k in range(count):
            if k + _AHEAD < count:
                _ask_for(starts, indices, gains, inputs, found[k + _AHEAD])
            low, high = _row(starts, indices.size, inputs, found[k])
            row, into = indices[low:high], gains[low:high]
            spike = sums.dtype.type(size_of(spikes[b * inputs + found[k]]))
            if not _inside(row, places):
                inside = False
            elif origin == 0:
                for c in range(row.size):
                    into[c] += own[np.uint64(row[c])] * spike
            else:
                for c in range(row.size):
                    into[c] += own[_from(row[c], origin, places)] * spike
    return inside


@njit
def to_inputs(starts, indices, weights, sums, inputs, origin, gains, places):
    """The gain of each input, for each entry of a batch: weight times sum over connections."""
    inside = True
    batch = sums.size // max(places, 1)
    for i in range(inputs):
        low, high = _row(starts, indices.size, inputs, i)
        row, values = indices[low:high], weights[low:high]
        if not _inside(row, places):
            inside = False
            continue
        for b in range(batch):
            own = sums[b * places : (b + 1) * places]
            total = sums.dtype.type(0)
            for c in range(row.size):
                total += number(values[c]) * own[_from(row[c], origin, places)]
            gains[b * inputs + i] = total
    return inside


@njit
def leave(ring, drive, places, targets, origin):
    """Take the sums of the current step out of a ring, which is left empty there."""
    for b in range(ring.size // max(places, 1)):
        for j in range(targets):
            drive[b * targets + j] = ring[b * places + origin + j]
            ring[b * places + origin + j] = 0

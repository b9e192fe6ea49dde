"""Sums along stored connections: loops over the rows of inputs that spike.

A row that leads beyond the places of the sums (see `stored_rows`) is left out, and the kernel
returns False. Large steps are shared among threads, so that no two write one place: entries of a
batch, or ranges of places, which are ranges of each row, as rows are sorted by place.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import find_all_spikes, number, size_of
from .stored_rows import AHEAD, GRAIN, all_inside, ask_for, ring_place, row_of
from .threads import how_many_parts, in_parts


@njit
def _first_from(indices, low, high, place):
    """Where a sorted row reaches a place. In any other row it is later for a later place."""
    while low < high:
        middle = (low + high) >> 1
        if np.int64(indices[middle]) < place:
            low = middle + 1
        else:
            high = middle
    return low


@njit(forceinline=True)
def _range_of_row(starts, indices, width, i, part, parts, first, last):
    """Where the places of a part begin and end in the row of an input.

    Both are looked for in the whole row, so that one part ends where the next one begins.
    """
    low, high = row_of(starts, indices.size, width, i)
    begin = _first_from(indices, low, high, first) if part > 0 else low
    end = _first_from(indices, low, high, last) if part + 1 < parts else high
    return begin, end


@njit(forceinline=True)
def _add(rows, found, spikes, origin, sums, places, left, part, parts, first, last):
    """Add what leads to the places of a part; note of which rows another part was found there."""
    starts, indices, weights, width = rows
    for k in range(found.size):
        if k + AHEAD < found.size:
            ask_for(starts, indices, weights, width, found[k + AHEAD], part, parts)
        low, high = _range_of_row(starts, indices, width, found[k], part, parts, first, last)
        row, values = indices[low:high], weights[low:high]
        spike = sums.dtype.type(size_of(spikes[found[k]]))
        if not all_inside(row, first, last):
            left[k * parts + part] = 1
        elif origin == 0:
            for c in range(row.size):
                sums[np.uint64(row[c])] += number(values[c]) * spike
        else:
            for c in range(row.size):
                sums[ring_place(row[c], origin, places)] += number(values[c]) * spike


@njit
def _add_all(operands):
    """Add to the sums of each entry of a batch."""
    rows, found, ends, spikes, origin, sums, places, left, _ = operands
    inputs = spikes.size // max(ends.size - 1, 1)
    for b in range(ends.size - 1):
        here = slice(ends[b], ends[b + 1])
        of, own = spikes[b * inputs : (b + 1) * inputs], sums[b * places : (b + 1) * places]
        _add(rows, found[here], of, origin, own, places, left[here], 0, 1, 0, places)


@njit
def _add_part(part, parts, operands):
    """Add to the sums of some entries of a batch; or what leads to some places, of a single one."""
    rows, found, ends, spikes, origin, sums, places, left, bounds = operands
    batch = ends.size - 1
    inputs, begin, end = spikes.size // max(batch, 1), 0, 1
    first, last = bounds[part], bounds[part + 1]
    if batch > 1:
        begin, end = batch * part // parts, batch * (part + 1) // parts
        part, parts, first, last = 0, 1, 0, places
    for b in range(begin, end):
        here, noted = slice(ends[b], ends[b + 1]), left[ends[b] * parts : ends[b + 1] * parts]
        of, own = spikes[b * inputs : (b + 1) * inputs], sums[b * places : (b + 1) * places]
        _add(rows, found[here], of, origin, own, places, noted, part, parts, first, last)


_add_in_parts = in_parts(_add_part)


@njit
def _look_sorted(rows, found):
    """Whether a few rows ascend at a few places: if not, it does not pay to share them."""
    starts, indices, _, width = rows
    for k in range(min(found.size, 8)):
        low, high = row_of(starts, indices.size, width, found[k])
        for eighth in range(1, 8 if low < high else 0):
            before = indices[low + (high - low) * (eighth - 1) // 8]
            if indices[low + (high - low) * eighth // 8] < before:
                return False
    return True


@njit
def _set_bounds(rows, found, places, bounds):
    """Where the places of each part begin: those that lie at the same part of rows, on average.

    Some rows are enough to tell.
    """
    starts, indices, _, width = rows
    parts, count = bounds.size - 1, 0
    for k in range(0, found.size, 1 + found.size // 64):
        low, high = row_of(starts, indices.size, width, found[k])
        count += low < high
        for part in range(1, parts if low < high else 0):
            bounds[part] += min(np.int64(indices[low + (high - low) * part // parts]), places)
    for part in range(1, parts):  # where rows are not sorted, they might not ascend
        bounds[part] = max(bounds[part] // max(count, 1), bounds[part - 1])
    bounds[parts] = places


@njit
def _add_left(parts, operands):
    """Add what other parts were left with, of rows that are not sorted. Whether all is inside."""
    rows, found, _, spikes, origin, sums, places, left, bounds = operands
    starts, indices, weights, width = rows
    inside = True
    for k in range(found.size):
        for part in range(parts):
            if left[k * parts + part]:
                first, last = bounds[part], bounds[part + 1]
                spike = sums.dtype.type(size_of(spikes[found[k]]))
                of_part = _range_of_row(starts, indices, width, found[k], part, parts, first, last)
                for c in range(*of_part):
                    if indices[c] < places:
                        sums[ring_place(indices[c], origin, places)] += number(weights[c]) * spike
                    else:
                        inside = False
    return inside


@njit
def to_targets(frame, starts, indices, weights, spikes, inputs, origin, sums, places):
    """Add to the sums of each entry of a batch: weight times spike of each connection."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    found, ends = find_all_spikes(spikes, inputs, batch)
    rows = starts, indices, weights, width
    parts = how_many_parts(frame, found.size * width, GRAIN)
    if parts > 1 and batch == 1 and not _look_sorted(rows, found):
        parts = 1
    bounds, left = np.zeros(parts + 1, np.int64), np.zeros(found.size * parts, np.uint8)
    operands = rows, found, ends, spikes, origin, sums, places, left, bounds
    if parts == 1:
        _add_all(operands)
        return not left.any()
    if batch == 1:
        _set_bounds(rows, found, places, bounds)
    _add_in_parts(frame, parts, operands)
    return _add_left(parts, operands) if batch == 1 else not left.any()


@njit
def leave(ring, drive, places, targets, origin):
    """Take the sums of the current step out of a ring, which is left empty there."""
    for b in range(ring.size // max(places, 1)):
        for j in range(targets):
            drive[b * targets + j] = ring[b * places + origin + j]
            ring[b * places + origin + j] = 0

"""Sums along stored connections, and their transposes: loops over the rows of inputs that spike.

Sums over inputs have, for each entry of a batch, some places: the targets, or those of a ring of
later steps, step by step. Connections lead to places as seen from step 0 of the ring; `origin` is
the place of the first target of the current step. A row that leads elsewhere is left out, and the
kernel returns False.

Large steps are shared among threads, so that no two write one place: entries of a batch; or ranges
of places, which are ranges of each row, as rows are sorted by place; or parts of each row.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import find_all_spikes, number, prefetch, size_of
from .threads import how_many_parts, in_parts

_AHEAD = 2  # how many spikes before its turn a row is asked for

_GRAIN = 16_384
"""Connections that are worth another thread."""


@njit(forceinline=True)
def _row(starts, connections, width, i):
    """Where the row of an input begins and ends; rows of one length, `width`, have one start."""
    if starts.size == 1:
        return i * width, (i + 1) * width
    return min(np.int64(starts[i]), connections), min(np.int64(starts[i + 1]), connections)


@njit(forceinline=True)
def _part_of_row(starts, connections, width, i, part, parts):
    """Where a part of the row of an input begins and ends; parts are of one length."""
    low, high = _row(starts, connections, width, i)
    if parts == 1:
        return low, high
    length = high - low
    return low + length * part // parts, low + length * (part + 1) // parts


@njit(forceinline=True)
def _ask_for(starts, indices, weights, width, i, part, parts):
    """Ask for about the part of a row."""
    low, high = _part_of_row(starts, indices.size, width, i, part, parts)
    for c in range(low, high, 16):
        prefetch(weights, c)
    for c in range(low, high, 32):
        prefetch(indices, c)


@njit(forceinline=True)
def _inside(indices, low, high):
    """Whether all indices of a row are from `low` on, and below `high`."""
    largest = np.uint64(0)
    for c in range(indices.size):
        largest = max(largest, np.uint64(indices[c]) - np.uint64(low))
    return largest < np.uint64(high - low) or indices.size == 0


@njit(forceinline=True)
def _from(index, origin, places):
    """A place of a ring, as seen from its current step."""
    place = np.uint64(index) + np.uint64(origin)
    return place - np.uint64(places) if place >= np.uint64(places) else place


# Sums ---------------------------------------------------------------------------------------------


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
    low, high = _row(starts, indices.size, width, i)
    begin = _first_from(indices, low, high, first) if part > 0 else low
    end = _first_from(indices, low, high, last) if part + 1 < parts else high
    return begin, end


@njit(forceinline=True)
def _add(rows, found, spikes, origin, sums, places, left, part, parts, first, last):
    """Add what leads to the places of a part; note of which rows another part was found there."""
    starts, indices, weights, width = rows
    for k in range(found.size):
        if k + _AHEAD < found.size:
            _ask_for(starts, indices, weights, width, found[k + _AHEAD], part, parts)
        low, high = _range_of_row(starts, indices, width, found[k], part, parts, first, last)
        row, values = indices[low:high], weights[low:high]
        spike = sums.dtype.type(size_of(spikes[found[k]]))
        if not _inside(row, first, last):
            left[k * parts + part] = 1
        elif origin == 0:
            for c in range(row.size):
                sums[np.uint64(row[c])] += number(values[c]) * spike
        else:
            for c in range(row.size):
                sums[_from(row[c], origin, places)] += number(values[c]) * spike


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
        low, high = _row(starts, indices.size, width, found[k])
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
        low, high = _row(starts, indices.size, width, found[k])
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
                        sums[_from(indices[c], origin, places)] += number(weights[c]) * spike
                    else:
                        inside = False
    return inside


@njit
def to_targets(frame, starts, indices, weights, spikes, inputs, origin, sums, places):
    """Add to the sums of each entry of a batch: weight times spike of each connection."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    found, ends = find_all_spikes(spikes, inputs, batch)
    rows = starts, indices, weights, width
    parts = how_many_parts(frame, found.size * width, _GRAIN)
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


# Transposes ---------------------------------------------------------------------------------------


@njit
def _credit_weights(part, parts, operands):
    """Add to the gains of a part of each row; note if it leads elsewhere."""
    rows, found, ends, spikes, origin, sums, gains, outside = operands
    starts, indices, width = rows
    batch = ends.size - 1
    inputs, places = spikes.size // max(batch, 1), sums.size // max(batch, 1)
    for b in range(batch):
        own = sums[b * places : (b + 1) * places]
        for k in range(ends[b], ends[b + 1]):
            if k + _AHEAD < ends[b + 1]:
                _ask_for(starts, indices, gains, width, found[k + _AHEAD], part, parts)
            low, high = _part_of_row(starts, indices.size, width, found[k], part, parts)
            row, into = indices[low:high], gains[low:high]
            spike = sums.dtype.type(size_of(spikes[b * inputs + found[k]]))
            if not _inside(row, 0, places):
                outside[part] = 1
            elif origin == 0:
                for c in range(row.size):
                    into[c] += own[np.uint64(row[c])] * spike
            else:
                for c in range(row.size):
                    into[c] += own[_from(row[c], origin, places)] * spike


_credit_weights_in_parts = in_parts(_credit_weights)


@njit
def to_weights(frame, starts, indices, spikes, sums, inputs, origin, gains, places):
    """Add to the gain of each weight: spike times sum."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    found, ends = find_all_spikes(spikes, inputs, batch)
    parts = how_many_parts(frame, found.size * width, _GRAIN)
    if parts > 1 and (starts[1:] < starts[:-1]).any():  # rows that overlap
        parts = 1
    rows, outside = (starts, indices, width), np.zeros(parts, np.uint8)
    shared = rows, found, ends, spikes, origin, sums, gains, outside
    _credit_weights_in_parts(frame, parts, shared)
    return not outside.any()


@njit
def _credit_inputs(part, parts, operands):
    """The gains of the inputs that are a part's; note if a row leads elsewhere."""
    rows, inputs, origin, sums, places, gains, outside = operands
    starts, indices, weights, width = rows
    batch = sums.size // max(places, 1)
    for i in range(inputs * part // parts, inputs * (part + 1) // parts):
        low, high = _row(starts, indices.size, width, i)
        row, values = indices[low:high], weights[low:high]
        if not _inside(row, 0, places):
            outside[part] = 1
            continue
        for b in range(batch):
            own = sums[b * places : (b + 1) * places]
            total = sums.dtype.type(0)
            for c in range(row.size):
                total += number(values[c]) * own[_from(row[c], origin, places)]
            gains[b * inputs + i] = total


_credit_inputs_in_parts = in_parts(_credit_inputs)


@njit
def to_inputs(frame, starts, indices, weights, sums, inputs, origin, gains, places):
    """The gain of each input, for each entry of a batch: weight times sum over connections."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    parts = min(how_many_parts(frame, indices.size * batch, _GRAIN), max(inputs, 1))
    rows, outside = (starts, indices, weights, width), np.zeros(parts, np.uint8)
    shared = rows, inputs, origin, sums, places, gains, outside
    _credit_inputs_in_parts(frame, parts, shared)
    return not outside.any()

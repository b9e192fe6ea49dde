"""Transposes of the sums along stored connections: gains of the weights, and of the inputs.

A row that leads beyond the places of the sums (see `stored_rows`) is left out, and the kernel
returns False. Threads share parts of each row, or the inputs, so that no two write one gain.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import find_all_spikes, number, size_of
from .stored_rows import AHEAD, GRAIN, all_inside, ask_for, part_of_row, ring_place, row_of
from .threads import how_many_parts, in_parts


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
            if k + AHEAD < ends[b + 1]:
                ask_for(starts, indices, gains, width, found[k + AHEAD], part, parts)
            low, high = part_of_row(starts, indices.size, width, found[k], part, parts)
            row, into = indices[low:high], gains[low:high]
            spike = sums.dtype.type(size_of(spikes[b * inputs + found[k]]))
            if not all_inside(row, 0, places):
                outside[part] = 1
            elif origin == 0:
                for c in range(row.size):
                    into[c] += own[np.uint64(row[c])] * spike
            else:
                for c in range(row.size):
                    into[c] += own[ring_place(row[c], origin, places)] * spike


_credit_weights_in_parts = in_parts(_credit_weights)


@njit
def to_weights(frame, starts, indices, spikes, sums, inputs, origin, gains, places):
    """Add to the gain of each weight: spike times sum."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    found, ends = find_all_spikes(spikes, inputs, batch)
    parts = how_many_parts(frame, found.size * width, GRAIN)
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
        low, high = row_of(starts, indices.size, width, i)
        row, values = indices[low:high], weights[low:high]
        if not all_inside(row, 0, places):
            outside[part] = 1
            continue
        for b in range(batch):
            own = sums[b * places : (b + 1) * places]
            total = sums.dtype.type(0)
            for c in range(row.size):
                total += number(values[c]) * own[ring_place(row[c], origin, places)]
            gains[b * inputs + i] = total


_credit_inputs_in_parts = in_parts(_credit_inputs)


@njit
def to_inputs(frame, starts, indices, weights, sums, inputs, origin, gains, places):
    """The gain of each input, for each entry of a batch: weight times sum over connections."""
    batch, width = sums.size // max(places, 1), indices.size // max(inputs, 1)
    parts = min(how_many_parts(frame, indices.size * batch, GRAIN), max(inputs, 1))
    rows, outside = (starts, indices, weights, width), np.zeros(parts, np.uint8)
    shared = rows, inputs, origin, sums, places, gains, outside
    _credit_inputs_in_parts(frame, parts, shared)
    return not outside.any()

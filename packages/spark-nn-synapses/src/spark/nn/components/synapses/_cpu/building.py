"""Stored connections drawn and laid out: counted per input, written to their rows, rows sorted.

The draws are those of `_drawing.lines`, bit for bit; the order is by input, then by place, then as
drawn. Functions hold no lock of Python, and several threads may share the work: none writes where
another does, and no result depends on how many there are.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import functools
import math

import numpy as np
from numba import njit

from .normal import normal_quantile

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit
def _at(seed, place):
    """`streams.at`."""
    z = seed + (np.uint64(place) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit
def _below(bits, size):
    return np.int64(((bits >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@njit
def _value(law, seed, place):
    """A number of a distribution; see `Inverse`."""
    if law.scale == 0:  # a constant
        return law.shift
    x = law.start + law.width * ((np.float64(_at(seed, place) >> np.uint64(12)) + 0.5) * 2.0**-52)
    value = law.shift + law.scale * (normal_quantile(x) if law.normal else x)
    if law.exponential:
        value = math.exp(value)
    return min(max(value, law.low), law.high)


@njit
def _partners(line, block, count, seen, out):
    """Write the partners of a line, in the order of its stream."""
    first, last = block.partners
    if block.paired:
        out[0] = line - block.lines[0] + first
        return
    size, own = last - first, last  # no partner is `last`
    if not block.autapses and first <= line < last:
        size, own = size - 1, line
    seed = _at(block.seeds[0], line)
    if not block.distinct:
        for c in range(count):
            partner = first + _below(_at(seed, c), size)
            out[c] = partner + (partner >= own)
        return
    fewer, done, c = min(count, size - count), 0, 0
    while done < fewer:
        value = _below(_at(seed, c), size)
        c += 1
        bit = np.uint8(1 << (value & 7))
        if not seen[value >> 3] & bit:
            seen[value >> 3] |= bit
            out[done] = value
            done += 1
    if fewer < count:
        done = 0
        for value in range(size):
            if not seen[value >> 3] & np.uint8(1 << (value & 7)):
                out[done] = value
                done += 1
        seen[: (size >> 3) + 1] = 0
    else:
        for c in range(count):
            seen[out[c] >> 3] = 0
    for c in range(count):
        partner = first + out[c]
        out[c] = partner + (partner >= own)


@njit
def _insertion_sort(keys, values, weighed):
    for c in range(1, keys.size):
        key, value, to = keys[c], values[c if weighed else 0], c
        while to > 0 and keys[to - 1] > key:
            keys[to] = keys[to - 1]
            if weighed:
                values[to] = values[to - 1]
            to -= 1
        keys[to] = key
        if weighed:
            values[to] = value


@njit
def _radix_sort(keys, values, weighed, other_keys, other_values, ends, digits, largest):
    """Sort by some binary digits at a time, from the lowest on; equal keys keep their order."""
    shift, mask = 0, (1 << digits) - 1
    while largest >> shift:
        ends[: mask + 2] = 0
        for key in keys:
            ends[((key >> shift) & mask) + 1] += 1
        for digit in range(mask):
            ends[digit + 1] += ends[digit]
        for c in range(keys.size):
            digit = (keys[c] >> shift) & mask
            other_keys[ends[digit]] = keys[c]
            if weighed:
                other_values[ends[digit]] = values[c]
            ends[digit] += 1
        keys[:] = other_keys[: keys.size]
        if weighed:
            values[:] = other_values[: values.size]
        shift += digits


@functools.cache
def kernels(revision):
    """The functions, compiled; `revision` is part of what numba knows them by."""
    options = {"nogil": True, "cache": True}
    try:
        njit(cache=True)(lambda: revision)
    except RuntimeError:  # numba has found no folder for its cache
        options["cache"] = False

    @njit(**options)
    def count(block, low, high, along_inputs, window, counts):
        """Count the connections of each input of a window along some lines."""
        revision  # noqa: B018
        most = block.partners[1] - block.partners[0]
        seen, out = np.zeros((most >> 3) + 1, np.uint8), np.empty(block.most, np.int64)
        for place in range(low, high):
            number = block.counts[place]
            line = block.lines[0] + place
            _partners(line, block, number, seen, out)
            for c in range(number):
                pre, post = (line, out[c]) if along_inputs else (out[c], line)
                if window[0] <= pre < window[1] and window[2] <= post < window[3]:
                    counts[pre - window[0]] += 1

    @njit(**options)
    def fill(block, low, high, along_inputs, window, cursors, places, weights):
        """Write the connections of some lines where the cursors of their inputs are."""
        revision  # noqa: B018
        most = block.partners[1] - block.partners[0]
        seen, out = np.zeros((most >> 3) + 1, np.uint8), np.empty(block.most, np.int64)
        weighed, targets = weights.size > 0, window[3] - window[2]
        for place in range(low, high):
            line, number = block.lines[0] + place, block.counts[place]
            of_weights, of_delays = _at(block.seeds[1], line), _at(block.seeds[2], line)
            _partners(line, block, number, seen, out)
            for c in range(number):
                pre, post = (line, out[c]) if along_inputs else (out[c], line)
                if not (window[0] <= pre < window[1] and window[2] <= post < window[3]):
                    continue
                step = np.int64(math.floor(_value(block.delays, of_delays, c) + 0.5))
                to = cursors[pre - window[0]]
                cursors[pre - window[0]] = to + 1
                places[to] = step * targets + post - window[2]
                if weighed:
                    value = _value(block.weights, of_weights, c)
                    if value != 0 and abs(value) < block.least:
                        value = math.copysign(block.least, value)
                    weights[to] = value

    @njit(**options)
    def sort(starts, low, high, places, weights):
        """Sort some rows by their places."""
        revision  # noqa: B018
        longest = np.int64(1)
        for i in range(low, high):
            longest = max(longest, starts[i + 1] - starts[i])
        other_places, weighed = np.empty(longest, places.dtype), weights.size > 0
        other_weights = np.empty(longest if weighed else 1, weights.dtype)
        ends = np.empty((1 << 11) + 1, np.int64)
        for i in range(low, high):
            row = places[starts[i] : starts[i + 1]]
            values = weights[starts[i] : starts[i + 1]] if weighed else other_weights
            largest, ascends = row[0] if row.size else np.uint32(0), True
            for c in range(1, row.size):
                largest = max(largest, row[c])
                ascends &= row[c - 1] <= row[c]
            if ascends:
                continue
            if row.size < 64:
                _insertion_sort(row, values, weighed)
            else:
                digits = 8 if row.size < 1024 else 11
                _radix_sort(
                    row, values, weighed, other_places, other_weights, ends, digits, largest
                )

    @njit(**options)
    def tally(inputs, counts):
        """Count the connections of each input."""
        revision  # noqa: B018
        for i in inputs:
            counts[i] += 1

    @njit(**options)
    def scatter(inputs, to, values, cursors, places, weights):
        """Write connections where the cursors of their inputs are."""
        revision  # noqa: B018
        for c in range(inputs.size):
            cursor = cursors[inputs[c]]
            cursors[inputs[c]] = cursor + 1
            places[cursor] = to[c]
            if weights.size > 0:
                weights[cursor] = values[c]

    return count, fill, sort, tally, scatter

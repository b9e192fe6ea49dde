"""Sums along kernels that connect all with all: the rows of inputs that spike, added up."""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .reading import count_spikes, find_spikes, number, size_of
from .threads import how_many_parts, in_parts

_GRAIN = 131_072
"""Weights that are worth another thread: they are read one after the other, eight rows at once."""


@njit
def _add_eight(weights, rows, spikes, k, sums):
    """Add eight rows at once, so that sums are read and written an eighth as often."""
    n = sums.size
    w0, s0 = weights[rows[k] : rows[k] + n], spikes[k]
    w1, s1 = weights[rows[k + 1] : rows[k + 1] + n], spikes[k + 1]
    w2, s2 = weights[rows[k + 2] : rows[k + 2] + n], spikes[k + 2]
    w3, s3 = weights[rows[k + 3] : rows[k + 3] + n], spikes[k + 3]
    w4, s4 = weights[rows[k + 4] : rows[k + 4] + n], spikes[k + 4]
    w5, s5 = weights[rows[k + 5] : rows[k + 5] + n], spikes[k + 5]
    w6, s6 = weights[rows[k + 6] : rows[k + 6] + n], spikes[k + 6]
    w7, s7 = weights[rows[k + 7] : rows[k + 7] + n], spikes[k + 7]
    for j in range(n):
        sums[j] += (
            (number(w0[j]) * s0 + number(w1[j]) * s1) + (number(w2[j]) * s2 + number(w3[j]) * s3)
        ) + ((number(w4[j]) * s4 + number(w5[j]) * s5) + (number(w6[j]) * s6 + number(w7[j]) * s7))


@njit
def _add_rows(weights, rows, spikes, count, sums):
    k = 0
    while k + 8 <= count:
        _add_eight(weights, rows, spikes, k, sums)
        k += 8
    while k < count:
        row = weights[rows[k] : rows[k] + sums.size]
        for j in range(sums.size):
            sums[j] += number(row[j]) * spikes[k]
        k += 1


@njit
def _add_products(weights, gains, rows, spikes, count, sums):
    for k in range(count):
        row = weights[rows[k] : rows[k] + sums.size]
        gain = gains[rows[k] : rows[k] + sums.size]
        for j in range(sums.size):
            sums[j] += number(row[j]) * number(gain[j]) * spikes[k]


@njit
def _add(part, parts, operands):
    """Add up what leads to some of the targets."""
    weights, gains, spikes, inputs, sums, targets = operands
    low, high = targets * part // parts, targets * (part + 1) // parts
    found = np.empty(inputs, np.int32)
    rows, values = np.empty(inputs, np.int64), np.empty(inputs, sums.dtype)
    for b in range(sums.size // max(targets, 1)):
        count = find_spikes(spikes, b * inputs, inputs, found)
        for k in range(count):
            rows[k] = found[k] * targets + low
            values[k] = size_of(spikes[b * inputs + found[k]])
        own = sums[b * targets + low : b * targets + high]
        if gains.size == 0:
            _add_rows(weights, rows, values, count, own)
        else:
            _add_products(weights, gains, rows, values, count, own)


_add_in_parts = in_parts(_add)


@njit
def to_targets(frame, weights, gains, spikes, inputs, sums, targets):
    """Add to the sums of each entry of a batch: the rows of the inputs that spike.

    Args:
        frame: Address of the call frame.
        weights: Row by row.
        gains: What each weight is multiplied by; empty if by nothing.
        spikes: Of each entry of the batch.
        inputs: Number of inputs.
        sums: Of each entry of the batch.
        targets: Number of targets.
    """
    operands, parts = (weights, gains, spikes, inputs, sums, targets), np.int64(1)
    if spikes.size * targets >= 2 * _GRAIN:
        parts = min(how_many_parts(frame, count_spikes(spikes) * targets, _GRAIN), targets)
    if parts == 1:  # without what sharing costs, which a small step would notice
        _add(0, 1, operands)
    else:
        _add_in_parts(frame, parts, operands)

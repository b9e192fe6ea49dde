"""Sums along connections that are drawn anew, and their transposes.

The draws are those of `DrawnRows`: a hash of key, input and place in the row. Arguments are as in
`stored`.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import numpy as np
from numba import njit

from .normal import normal_quantile
from .reading import find_spikes, number, size_of


@njit
def _mix(x, salt):
    """`spark.core.internal.mix`; numba makes 64 bits of products of 32."""
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D) + salt)
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit
def _streams(words, i):
    """Where the random bits of an input begin: for its targets, its weights and its delays."""
    first = words[2] if words.size > 2 else np.uint32(0)
    row = _mix(np.uint32(np.uint32(i + first) ^ words[0]), np.uint32(0))
    return (
        _mix(row, np.uint32(0)),
        _mix(np.uint32(row + np.uint32(1)), np.uint32(0)),
        _mix(np.uint32(row + np.uint32(2)), np.uint32(0)),
    )


@njit
def _bits(words, stream, c):
    return _mix(np.uint32(np.uint32(c) ^ words[1]), stream)


@njit
def _part(words, sizes, places):
    """Of the targets: how many there are, the first one, and among how many it is drawn."""
    targets = places if sizes.size == 2 else places // np.int64(sizes[2])
    if words.size > 2:  # the rows are part of larger ones
        return targets, np.int64(words[3]), np.uint64(words[4])
    return targets, np.int64(0), np.uint64(targets)


@njit
def _place(words, sizes, to, late, c, part, origin, places):
    """Where a connection leads, as seen from the current step of a ring.

    -1 if to a target that is not of these rows; -2 if out of the ring, as by a damaged file.
    """
    targets, first, drawn = part
    place = np.int64((np.uint64(_bits(words, to, c)) * drawn) >> np.uint64(32)) - first
    if not 0 <= place < targets:
        return np.int64(-1)
    if sizes.size == 2:
        return place
    bits, low, high = _bits(words, late, c), np.int64(4), np.int64(sizes.size)
    while low < high:
        middle = (low + high) >> 1
        if bits >= sizes[middle]:
            low = middle + 1
        else:
            high = middle
    place += (np.int64(sizes[3]) + low - 4) * targets + origin
    place -= places if place >= places else 0
    return place if 0 <= place < places else np.int64(-2)


@njit
def _basis(law, bits):
    """What the first parameter of a law is multiplied by to give a weight, and what the second."""
    if law == 0:  # constant
        return 1.0, 0.0
    uniform = (np.float64(bits >> np.uint32(9)) + 0.5) * 2.0**-23
    if law == 1:  # uniform
        return 1.0 - uniform, uniform
    return 1.0, normal_quantile(uniform)


@njit
def _second(parameters):
    return number(parameters[1]) if parameters.size > 1 else 0.0  # a constant law has one alone


@njit
def to_targets(frame, words, sizes, parameters, spikes, inputs, origin, sums, places):
    """As `stored.to_targets`, of drawn connections: `sizes` are as in `DrawnRows`."""
    found, part = np.empty(inputs, np.int32), _part(words, sizes, places)
    one, other = number(parameters[0]), _second(parameters)
    for b in range(sums.size // max(places, 1)):
        own = sums[b * places : (b + 1) * places]
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            spike = sums.dtype.type(size_of(spikes[b * inputs + i]))
            to, of, late = _streams(words, i)
            for c in range(sizes[0]):
                place = _place(words, sizes, to, late, c, part, origin, places)
                if place == -2:
                    return False
                if place == -1:
                    continue
                first, second = _basis(sizes[1], _bits(words, of, c))
                weight = sums.dtype.type(one * first + other * second)
                own[place] += weight * spike
    return True


@njit
def to_weights(frame, words, sizes, spikes, sums, inputs, origin, gains, places):
    """As `stored_transposes.to_weights`, of the parameters of a law."""
    found, part = np.empty(inputs, np.int32), _part(words, sizes, places)
    one, other = 0.0, 0.0
    for b in range(sums.size // max(places, 1)):
        own = sums[b * places : (b + 1) * places]
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            to, of, late = _streams(words, i)
            for c in range(sizes[0]):
                place = _place(words, sizes, to, late, c, part, origin, places)
                if place == -2:
                    return False
                if place == -1:
                    continue
                first, second = _basis(sizes[1], _bits(words, of, c))
                gain = np.float64(own[place]) * np.float64(size_of(spikes[b * inputs + i]))
                one += first * gain
                if gains.size > 1:
                    other += second * gain
    gains[0] = one
    if gains.size > 1:
        gains[1] = other
    return True


@njit
def to_inputs(frame, words, sizes, parameters, sums, inputs, origin, gains, places):
    """As `stored_transposes.to_inputs`, of connections that are drawn."""
    one, other = number(parameters[0]), _second(parameters)
    batch, part = sums.size // max(places, 1), _part(words, sizes, places)
    for i in range(inputs):
        to, of, late = _streams(words, i)
        for c in range(sizes[0]):
            place = _place(words, sizes, to, late, c, part, origin, places)
            if place == -2:
                return False
            if place == -1:
                continue
            first, second = _basis(sizes[1], _bits(words, of, c))
            weight = sums.dtype.type(one * first + other * second)
            for b in range(batch):
                gains[b * inputs + i] += weight * sums[b * places + place]
    return True

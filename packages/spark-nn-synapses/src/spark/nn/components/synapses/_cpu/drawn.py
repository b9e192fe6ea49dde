"""Sums along connections that are drawn anew, and their transposes.

The draws are those of `DrawnRows`: a hash of key, input and place in the row. Arguments are as in
`stored`.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .normal import normal_quantile
from .reading import find_spikes, float_of_bits, number, size_of

_HEADER, _WORDS = 5, 14  # of `sizes`, and of a factor: see `DrawnRows`


@njit
def _mix(x, salt):
    """`spark.core.internal.mix`; numba makes 64 bits of products of 32."""
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D) + salt)
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit
def _streams(words, i):
    """Where the random bits of an input begin: its own, and for targets, weights and delays."""
    first = words[2] if words.size > 2 else np.uint32(0)
    row = _mix(np.uint32(np.uint32(i + first) ^ words[0]), np.uint32(0))
    return row, _stream(row, 0), _stream(row, 1), _stream(row, 2)


@njit
def _stream(row, number):
    return _mix(np.uint32(row + np.uint32(number)), np.uint32(0))


@njit
def _bits(words, stream, c):
    return _mix(np.uint32(np.uint32(c) ^ words[1]), stream)


@njit
def _part(words, sizes, places):
    """Of the targets: how many there are, the first one, and among how many it is drawn.

    And where the limits of delays begin, 0 if there are none.
    """
    targets = places // np.int64(sizes[2])
    limits = np.int64(0) if sizes[2] == 1 else _HEADER + _WORDS * np.int64(sizes[4])
    if words.size > 2:  # the rows are part of larger ones
        return targets, np.int64(words[3]), np.uint64(words[4]), limits
    return targets, np.int64(0), np.uint64(targets), limits


@njit
def _are_whole(sizes):
    """Whether the words of all factors are there; in a damaged file they may not be."""
    return _HEADER + _WORDS * np.int64(sizes[4]) <= sizes.size


@njit
def _number(sizes, at):
    return np.float64(float_of_bits(sizes[at])) + np.float64(float_of_bits(sizes[at + 1]))


@njit
def _place(words, sizes, to, late, c, part, origin, places):
    """Where a connection leads, as seen from the current step of a ring.

    -1 if to a target that is not of these rows; -2 if out of the ring, as by a damaged file.
    """
    targets, first, drawn, limits = part
    place = np.int64((np.uint64(_bits(words, to, c)) * drawn) >> np.uint64(32)) - first
    if not 0 <= place < targets:
        return np.int64(-1)
    if limits == 0:
        return place
    bits, low, high = _bits(words, late, c), limits, np.int64(sizes.size)
    while low < high:
        middle = (low + high) >> 1
        if bits >= sizes[middle]:
            low = middle + 1
        else:
            high = middle
    place += (np.int64(sizes[3]) + low - limits) * targets + origin
    place -= places if place >= places else 0
    return place if 0 <= place < places else np.int64(-2)


@njit
def _uniform(bits):
    return (np.float64(bits >> np.uint32(9)) + 0.5) * 2.0**-23


@njit
def _basis(law, bits):
    """What the first parameter of a law is multiplied by to give a weight, and what the second."""
    if law == 0:  # constant
        return 1.0, 0.0
    uniform = _uniform(bits)
    if law == 1:  # uniform
        return 1.0 - uniform, uniform
    return 1.0, normal_quantile(uniform)


@njit
def _multiply(products, words, sizes, row):
    """Write the product of the factors of each weight of a row; see `factors.encoded`."""
    products[:] = 1.0
    for each in range(np.int64(sizes[4])):
        at = _HEADER + _WORDS * each
        kind, shift, scale = sizes[at], _number(sizes, at + 2), _number(sizes, at + 4)
        start, width = _number(sizes, at + 6), _number(sizes, at + 8)
        low, high = _number(sizes, at + 10), _number(sizes, at + 12)
        stream = _stream(row, sizes[at + 1])
        for c in range(products.size):
            x = start + width * _uniform(_bits(words, stream, c))
            value = shift + scale * (normal_quantile(x) if kind > 0 else x)
            value = math.exp(value) if kind > 1 else value
            products[c] *= min(max(value, low), high)


@njit
def _second(parameters):
    return number(parameters[1]) if parameters.size > 1 else 0.0  # a constant law has one alone


@njit
def to_targets(frame, words, sizes, parameters, spikes, inputs, origin, sums, places):
    """As `stored.to_targets`, of drawn connections: `sizes` are as in `DrawnRows`."""
    if not _are_whole(sizes):
        return False
    products = np.empty(sizes[0] if sizes[4] > 0 else 0)
    found, part = np.empty(inputs, np.int32), _part(words, sizes, places)
    one, other = number(parameters[0]), _second(parameters)
    for b in range(sums.size // max(places, 1)):
        own = sums[b * places : (b + 1) * places]
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            spike = sums.dtype.type(size_of(spikes[b * inputs + i]))
            row, to, of, late = _streams(words, i)
            _multiply(products, words, sizes, row)
            for c in range(sizes[0]):
                place = _place(words, sizes, to, late, c, part, origin, places)
                if place == -2:
                    return False
                if place == -1:
                    continue
                first, second = _basis(sizes[1], _bits(words, of, c))
                if products.size > 0:
                    first, second = first * products[c], second * products[c]
                weight = sums.dtype.type(one * first + other * second)
                own[place] += weight * spike
    return True


@njit
def to_weights(frame, words, sizes, spikes, sums, inputs, origin, gains, places):
    """As `stored_transposes.to_weights`, of the parameters of a law."""
    if not _are_whole(sizes):
        return False
    products = np.empty(sizes[0] if sizes[4] > 0 else 0)
    found, part = np.empty(inputs, np.int32), _part(words, sizes, places)
    one, other = 0.0, 0.0
    for b in range(sums.size // max(places, 1)):
        own = sums[b * places : (b + 1) * places]
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            row, to, of, late = _streams(words, i)
            _multiply(products, words, sizes, row)
            for c in range(sizes[0]):
                place = _place(words, sizes, to, late, c, part, origin, places)
                if place == -2:
                    return False
                if place == -1:
                    continue
                first, second = _basis(sizes[1], _bits(words, of, c))
                if products.size > 0:
                    first, second = first * products[c], second * products[c]
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
    if not _are_whole(sizes):
        return False
    products = np.empty(sizes[0] if sizes[4] > 0 else 0)
    one, other = number(parameters[0]), _second(parameters)
    batch, part = sums.size // max(places, 1), _part(words, sizes, places)
    for i in range(inputs):
        row, to, of, late = _streams(words, i)
        _multiply(products, words, sizes, row)
        for c in range(sizes[0]):
            place = _place(words, sizes, to, late, c, part, origin, places)
            if place == -2:
                return False
            if place == -1:
                continue
            first, second = _basis(sizes[1], _bits(words, of, c))
            if products.size > 0:
                first, second = first * products[c], second * products[c]
            weight = sums.dtype.type(one * first + other * second)
            for b in range(batch):
                gains[b * inputs + i] += weight * sums[b * places + place]
    return True

"""Sums along connections that are drawn anew, and their transposes.

The draws are those of `DrawnRows`: a hash of key, input and place in the row. Arguments are as in
`stored`; there is no ring, so that `origin` is 0 and the places are the targets.
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
def _stream(words, i, stream):
    """Where the random bits of the connections of an input begin."""
    row = _mix(np.uint32(np.uint32(i) ^ words[0]), np.uint32(0))
    return _mix(np.uint32(row + np.uint32(stream)), np.uint32(0))


@njit
def _bits(words, stream, c):
    return _mix(np.uint32(np.uint32(c) ^ words[1]), stream)


@njit
def _target(bits, targets):
    return np.int64((np.uint64(bits) * np.uint64(targets)) >> np.uint64(32))


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
def to_targets(frame, words, sizes, parameters, spikes, inputs, origin, sums, targets):
    """As `stored.to_targets`, of drawn connections: `sizes` are how many, and their law."""
    found = np.empty(inputs, np.int32)
    one, other = number(parameters[0]), _second(parameters)
    for b in range(sums.size // max(targets, 1)):
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            spike = sums.dtype.type(size_of(spikes[b * inputs + i]))
            to, of = _stream(words, i, 0), _stream(words, i, 1)
            for c in range(sizes[0]):
                first, second = _basis(sizes[1], _bits(words, of, c))
                weight = sums.dtype.type(one * first + other * second)
                sums[b * targets + _target(_bits(words, to, c), targets)] += weight * spike
    return True


@njit
def to_weights(frame, words, sizes, spikes, sums, inputs, origin, gains, targets):
    """As `stored.to_weights`, of the parameters of a law."""
    found = np.empty(inputs, np.int32)
    one, other = 0.0, 0.0
    for b in range(sums.size // max(targets, 1)):
        for k in range(find_spikes(spikes, b * inputs, inputs, found)):
            i = found[k]
            to, of = _stream(words, i, 0), _stream(words, i, 1)
            for c in range(sizes[0]):
                first, second = _basis(sizes[1], _bits(words, of, c))
                sum_ = sums[b * targets + _target(_bits(words, to, c), targets)]
                gain = np.float64(sum_) * np.float64(size_of(spikes[b * inputs + i]))
                one += first * gain
                if gains.size > 1:
                    other += second * gain
    gains[0] = one
    if gains.size > 1:
        gains[1] = other
    return True


@njit
def to_inputs(frame, words, sizes, parameters, sums, inputs, origin, gains, targets):
    """As `stored.to_inputs`, of connections that are drawn."""
    one, other = number(parameters[0]), _second(parameters)
    batch = sums.size // max(targets, 1)
    for i in range(inputs):
        to, of = _stream(words, i, 0), _stream(words, i, 1)
        for c in range(sizes[0]):
            first, second = _basis(sizes[1], _bits(words, of, c))
            weight = sums.dtype.type(one * first + other * second)
            target = _target(_bits(words, to, c), targets)
            for b in range(batch):
                gains[b * inputs + i] += weight * sums[b * targets + target]
    return True

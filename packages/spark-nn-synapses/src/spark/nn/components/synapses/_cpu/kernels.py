"""What a CPU does with spikes: loops over the connections of the inputs that spike, in numba.

Each kernel is a function of flat arrays, and a handler reads these from a call frame. Nothing is
read or written outside of an array, whatever indices the connections have: a row that leads
elsewhere is left out, and the call fails.

Sums over inputs have, for each entry of a batch, some places: the targets, or those of a ring of
later steps, step by step. Connections lead to places as seen from step 0 of the ring; `origin` is
the place of the first target of the current step.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from .bridge import (
    OPERANDS,
    RESULTS,
    answered,
    array,
    copy,
    failure,
    length,
    number,
    prefetch,
    rank,
    trailing_zeros,
    word_at,
)

Handler = Callable[[int], int]

_outside = failure("connections lead to no target, or begin at none: their indices are wrong.")

_AHEAD = 2  # how many spikes before its turn a row is asked for
_CACHED = 1 << 18  # weights that stay in the cache while a batch goes through them


# Spikes ----------------------------------------------------------------------------------------


def active(spikes: Any, first: int, count: int, found: Any) -> int:
    """Write which of `count` spikes from `first` on are there, and return how many."""
    raise NotImplementedError  # compiled only


@overload(active)
def _active(spikes: Any, first: int, count: int, found: Any) -> Any:
    if spikes.dtype == types.uint8:

        def of_booleans(spikes: Any, first: int, count: int, found: Any) -> int:
            total = 0
            whole = count - count % 8
            for i in range(0, whole, 8):
                word = word_at(spikes, first + i)
                while word:
                    found[total] = i + (trailing_zeros(word) >> np.uint64(3))
                    total += 1
                    word &= word - np.uint64(1)
            for i in range(whole, count):
                if spikes[first + i]:
                    found[total] = i
                    total += 1
            return total

        return of_booleans

    def of_numbers(spikes: Any, first: int, count: int, found: Any) -> int:
        total = 0
        for i in range(count):
            if spikes[first + i] != 0:
                found[total] = i
                total += 1
        return total

    return of_numbers


# Stored connections -------------------------------------------------------------------------------


@njit
def _row(starts, connections, inputs, i):
    """Where the row of an input begins and ends; rows of one length have no starts."""
    if starts.size == 0:
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


@njit
def to_targets(starts, indices, weights, spikes, inputs, origin, sums, places):
    """Add to the sums of each entry of a batch: weight times spike of each connection."""
    found = np.empty(inputs, np.int32)
    inside = True
    for b in range(sums.size // max(places, 1)):
        count = active(spikes, b * inputs, inputs, found)
        own = sums[b * places : (b + 1) * places]
        for k in range(count):
            if k + _AHEAD < count:
                _ask_for(starts, indices, weights, inputs, found[k + _AHEAD])
            low, high = _row(starts, indices.size, inputs, found[k])
            row, values = indices[low:high], weights[low:high]
            spike = sums.dtype.type(spikes[b * inputs + found[k]])
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
        count = active(spikes, b * inputs, inputs, found)
        own = sums[b * places : (b + 1) * places]
        for k in range(count):
            if k + _AHEAD < count:
                _ask_for(starts, indices, gains, inputs, found[k + _AHEAD])
            low, high = _row(starts, indices.size, inputs, found[k])
            row, into = indices[low:high], gains[low:high]
            spike = sums.dtype.type(spikes[b * inputs + found[k]])
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


# Drawn connections --------------------------------------------------------------------------------


@njit
def _mix(x, salt):
    """`spark.core.tracers.rounding.mix`; numba makes 64 bits of products of 32."""
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
def _normal(uniform):
    """The standard normal quantile.

    References:
        Wichura (1988), Algorithm AS 241: The percentage points of the normal distribution, Applied
        Statistics 37:477-484, PPND16: relative accuracy 1e-16.
    """
    q = uniform - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _horner(_CENTRAL, r) / _horner(_CENTRAL_BELOW, r)
    r = math.sqrt(-math.log(uniform if q < 0 else 1.0 - uniform))
    if r <= 5.0:
        size = _horner(_MIDDLE, r - 1.6) / _horner(_MIDDLE_BELOW, r - 1.6)
    else:
        size = _horner(_TAIL, r - 5.0) / _horner(_TAIL_BELOW, r - 5.0)
    return -size if q < 0 else size


@njit
def _horner(coefficients, x):
    total = 0.0
    for each in coefficients:
        total = total * x + each
    return total


# Highest power first.
_CENTRAL = (
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
_CENTRAL_BELOW = (
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)
_MIDDLE = (
    7.74545014278341407640e-4,
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
)
_MIDDLE_BELOW = (
    1.05075007164441684324e-9,
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
)
_TAIL = (
    2.01033439929228813265e-7,
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
)
_TAIL_BELOW = (
    2.04426310338993978564e-15,
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
)


@njit
def _basis(law, bits):
    """What the first parameter of a law is multiplied by to give a weight, and what the second."""
    if law == 0:  # constant
        return 1.0, 0.0
    uniform = (np.float64(bits >> np.uint32(9)) + 0.5) * 2.0**-23
    if law == 1:  # uniform
        return 1.0 - uniform, uniform
    return 1.0, _normal(uniform)


@njit
def _second(parameters):
    return number(parameters[parameters.size - 1])  # a constant law has one alone


@njit
def drawn_to_targets(words, sizes, parameters, spikes, inputs, sums, targets):
    """As `to_targets`, of connections that are drawn: `sizes` are their number and their law."""
    found = np.empty(inputs, np.int32)
    one, other = number(parameters[0]), _second(parameters)
    for b in range(sums.size // max(targets, 1)):
        for k in range(active(spikes, b * inputs, inputs, found)):
            i = found[k]
            spike = sums.dtype.type(spikes[b * inputs + i])
            to, of = _stream(words, i, 0), _stream(words, i, 1)
            for c in range(sizes[0]):
                first, second = _basis(sizes[1], _bits(words, of, c))
                weight = sums.dtype.type(one * first + other * second)
                sums[b * targets + _target(_bits(words, to, c), targets)] += weight * spike
    return True


@njit
def drawn_to_weights(words, sizes, spikes, sums, inputs, gains, targets):
    """As `to_weights`, of the parameters of a law."""
    found = np.empty(inputs, np.int32)
    one, other = 0.0, 0.0
    for b in range(sums.size // max(targets, 1)):
        for k in range(active(spikes, b * inputs, inputs, found)):
            i = found[k]
            to, of = _stream(words, i, 0), _stream(words, i, 1)
            for c in range(sizes[0]):
                first, second = _basis(sizes[1], _bits(words, of, c))
                sum_ = sums[b * targets + _target(_bits(words, to, c), targets)]
                gain = np.float64(sum_) * np.float64(spikes[b * inputs + i])
                one += first * gain
                other += second * gain
    gains[gains.size - 1] += gains.dtype.type(other)
    gains[0] += gains.dtype.type(one)
    return True


@njit
def drawn_to_inputs(words, sizes, parameters, sums, inputs, gains, targets):
    """As `to_inputs`, of connections that are drawn."""
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


# Kernels that connect all with all ----------------------------------------------------------------


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
def _add_four(weights, rows, spikes, k, sums):
    n = sums.size
    w0, s0 = weights[rows[k] : rows[k] + n], spikes[k]
    w1, s1 = weights[rows[k + 1] : rows[k + 1] + n], spikes[k + 1]
    w2, s2 = weights[rows[k + 2] : rows[k + 2] + n], spikes[k + 2]
    w3, s3 = weights[rows[k + 3] : rows[k + 3] + n], spikes[k + 3]
    for j in range(n):
        sums[j] += (number(w0[j]) * s0 + number(w1[j]) * s1) + (
            number(w2[j]) * s2 + number(w3[j]) * s3
        )


@njit
def _add_rows(weights, rows, spikes, count, sums):
    k = 0
    while k + 8 <= count:
        _add_eight(weights, rows, spikes, k, sums)
        k += 8
    if k + 4 <= count:
        _add_four(weights, rows, spikes, k, sums)
        k += 4
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
def add_dense_rows(weights, gains, spikes, inputs, sums, targets):
    """Add to the sums of each entry of a batch: the rows of the inputs that spike.

    Args:
        weights: Row by row.
        gains: What each weight is multiplied by; empty if by nothing.
        spikes: Of each entry of the batch.
        inputs: Number of inputs.
        sums: Of each entry of the batch.
        targets: Number of targets.
    """
    batch = sums.size // max(targets, 1)
    # Some rows stay in the cache while some entries of the batch go through them.
    some = max(64, _CACHED // max(targets, 1))
    block = inputs if batch == 1 else min(inputs, some)
    found = np.empty(block, np.int32)
    rows, values = np.empty(block, np.int64), np.empty(block, sums.dtype)
    for start in range(0, batch, some):
        for first in range(0, inputs, max(block, 1)):
            for b in range(start, min(start + some, batch)):
                begin = b * inputs + first
                count = active(spikes, begin, min(block, inputs - first), found)
                for k in range(count):
                    rows[k] = (first + found[k]) * targets
                    values[k] = spikes[begin + found[k]]
                own = sums[b * targets : (b + 1) * targets]
                if gains.size == 0:
                    _add_rows(weights, rows, values, count, own)
                else:
                    _add_products(weights, gains, rows, values, count, own)


# Handlers -----------------------------------------------------------------------------------------
#
# Operands of connections: `starts` and `indices`, or the words of a key and `sizes` if they are
# drawn; then two of weights, spikes and sums; and which step of a ring is now. The handlers are
# closures of what numba can keep in its cache, which holds as long as `revision` is the same.


def targets_handler(
    dtypes: tuple[Any, ...], drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*wires, weights, spikes, now[, sums]) -> sums`."""
    wire_in, other_in, weights_in, spikes_in, now_in, *added, out = dtypes
    onto = len(added) > 0

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        lead = rank(frame, OPERANDS, 3) - 1
        inputs = length(frame, OPERANDS, 3, lead, 0)
        places = length(frame, RESULTS, 0, lead, 0)
        targets = length(frame, RESULTS, 0, -1, 0)
        wire, other = array(frame, OPERANDS, 0, wire_in), array(frame, OPERANDS, 1, other_in)
        weights = array(frame, OPERANDS, 2, weights_in)
        spikes = array(frame, OPERANDS, 3, spikes_in)
        sums = array(frame, RESULTS, 0, out)
        if onto:
            copy(array(frame, OPERANDS, 5, out), sums)
        else:
            sums[:] = 0
        if drawn:
            drawn_to_targets(wire, other, weights, spikes, inputs, sums, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = to_targets(wire, other, weights, spikes, inputs, origin, sums, places)
        return 0 if inside else _outside(frame)

    return handle


def ring_handler(dtypes: tuple[Any, ...], version: tuple[int, int], revision: str) -> Handler:
    """`(*wires, weights, spikes, now, ring) -> (ring, drive)`."""
    starts_in, indices_in, weights_in, spikes_in, now_in, _, out, _ = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        lead = rank(frame, OPERANDS, 3) - 1
        inputs = length(frame, OPERANDS, 3, lead, 0)
        places = length(frame, RESULTS, 0, lead, 0)
        targets = length(frame, RESULTS, 0, -1, 0)
        ring, drive = array(frame, RESULTS, 0, out), array(frame, RESULTS, 1, out)
        copy(array(frame, OPERANDS, 5, out), ring)
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = to_targets(
            array(frame, OPERANDS, 0, starts_in),
            array(frame, OPERANDS, 1, indices_in),
            array(frame, OPERANDS, 2, weights_in),
            array(frame, OPERANDS, 3, spikes_in),
            inputs,
            origin,
            ring,
            places,
        )
        leave(ring, drive, places, targets, origin)
        return 0 if inside else _outside(frame)

    return handle


def weights_handler(
    dtypes: tuple[Any, ...], drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*wires, spikes, sums, now) -> gains of the weights`."""
    wire_in, other_in, spikes_in, sums_in, now_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        lead = rank(frame, OPERANDS, 2) - 1
        inputs = length(frame, OPERANDS, 2, lead, 0)
        places = length(frame, OPERANDS, 3, lead, 0)
        targets = length(frame, OPERANDS, 3, -1, 0)
        wire, other = array(frame, OPERANDS, 0, wire_in), array(frame, OPERANDS, 1, other_in)
        spikes, sums = array(frame, OPERANDS, 2, spikes_in), array(frame, OPERANDS, 3, sums_in)
        gains = array(frame, RESULTS, 0, out)
        gains[:] = 0
        if drawn:
            drawn_to_weights(wire, other, spikes, sums, inputs, gains, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = to_weights(wire, other, spikes, sums, inputs, origin, gains, places)
        return 0 if inside else _outside(frame)

    return handle


def inputs_handler(
    dtypes: tuple[Any, ...], drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*wires, weights, sums, now) -> gains of the inputs`."""
    wire_in, other_in, weights_in, sums_in, now_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        lead = rank(frame, RESULTS, 0) - 1
        inputs = length(frame, RESULTS, 0, lead, 0)
        places = length(frame, OPERANDS, 3, lead, 0)
        targets = length(frame, OPERANDS, 3, -1, 0)
        wire, other = array(frame, OPERANDS, 0, wire_in), array(frame, OPERANDS, 1, other_in)
        weights = array(frame, OPERANDS, 2, weights_in)
        sums = array(frame, OPERANDS, 3, sums_in)
        gains = array(frame, RESULTS, 0, out)
        gains[:] = 0
        if drawn:
            drawn_to_inputs(wire, other, weights, sums, inputs, gains, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = to_inputs(wire, other, weights, sums, inputs, origin, gains, places)
        return 0 if inside else _outside(frame)

    return handle


def dense_handler(dtypes: tuple[Any, ...], version: tuple[int, int], revision: str) -> Handler:
    """`(weights, gains, spikes) -> sums`; gains are of the shape of the weights, or none."""
    weights_in, gains_in, spikes_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        sums = array(frame, RESULTS, 0, out)
        sums[:] = 0
        add_dense_rows(
            array(frame, OPERANDS, 0, weights_in),
            array(frame, OPERANDS, 1, gains_in),
            array(frame, OPERANDS, 2, spikes_in),
            length(frame, OPERANDS, 0, 0, 1),
            sums,
            length(frame, OPERANDS, 0, 1, 2),
        )
        return 0

    return handle


HANDLERS: dict[str, Callable[..., Handler]] = {
    "targets": targets_handler,
    "ring": ring_handler,
    "weights": weights_handler,
    "inputs": inputs_handler,
    "dense": dense_handler,
}
"""Makers of handlers, by the name of what they give."""

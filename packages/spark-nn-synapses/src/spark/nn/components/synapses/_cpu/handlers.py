"""What XLA calls: handlers that find the operands of a kernel in a call frame, and run it.

Operands of connections are `starts` and `indices`, or the words of a key and `sizes` if they are
drawn; then two of weights, spikes and sums; and which step of a ring is now. The handlers are
closures of what numba can keep in its cache, which holds as long as `revision` is the same.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dense, drawn, stored
from .bridge import OPERANDS, RESULTS, answered, array, copy, failure, length, rank

Handler = Callable[[int], int]

_outside = failure("connections lead to no target: their indices are wrong.")


def targets_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
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
        if are_drawn:
            drawn.to_targets(wire, other, weights, spikes, inputs, sums, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = stored.to_targets(wire, other, weights, spikes, inputs, origin, sums, places)
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
        inside = stored.to_targets(
            array(frame, OPERANDS, 0, starts_in),
            array(frame, OPERANDS, 1, indices_in),
            array(frame, OPERANDS, 2, weights_in),
            array(frame, OPERANDS, 3, spikes_in),
            inputs,
            origin,
            ring,
            places,
        )
        stored.leave(ring, drive, places, targets, origin)
        return 0 if inside else _outside(frame)

    return handle


def weights_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
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
        if are_drawn:
            drawn.to_weights(wire, other, spikes, sums, inputs, gains, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = stored.to_weights(wire, other, spikes, sums, inputs, origin, gains, places)
        return 0 if inside else _outside(frame)

    return handle


def inputs_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
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
        if are_drawn:
            drawn.to_inputs(wire, other, weights, sums, inputs, gains, targets)
            return 0
        origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
        if origin + targets > places:
            return _outside(frame)
        inside = stored.to_inputs(wire, other, weights, sums, inputs, origin, gains, places)
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
        dense.to_targets(
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

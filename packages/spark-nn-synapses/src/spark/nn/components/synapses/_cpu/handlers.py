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
from numba import njit

from . import dense, drawn, stored, stored_transposes
from .bridge import OPERANDS, RESULTS, answered, array, copy, failure, length, rank

Handler = Callable[[int], int]

_outside = failure("connections lead to no target: their indices are wrong.")
_failed = failure("a kernel of the CPU engine has failed, for want of memory.")
_not_now = failure("a ring has no such step: the current one must be from 0 up to its length.")

# Where the spikes of a kernel are, and its sums: among which of the two, and at which place.
_FORWARD = OPERANDS, 3, RESULTS, 0
_TO_WEIGHTS = OPERANDS, 2, OPERANDS, 3
_TO_INPUTS = RESULTS, 0, OPERANDS, 3


@njit
def _sizes(frame, where, now_in):
    """Numbers of inputs and of places, and the first place of the current step; -1 if none is."""
    spikes_part, spikes, sums_part, sums = where
    lead = rank(frame, spikes_part, spikes) - 1
    places = length(frame, sums_part, sums, lead, 0)
    targets = length(frame, sums_part, sums, -1, 0)
    origin = np.int64(array(frame, OPERANDS, 4, now_in)[0]) * targets
    inputs = length(frame, spikes_part, spikes, lead, 0)
    return inputs, places, origin if origin + targets <= places else np.int64(-1)


@njit
def _adjacency(frame, first_in, second_in):
    """The two arrays that connections are read from."""
    return array(frame, OPERANDS, 0, first_in), array(frame, OPERANDS, 1, second_in)


def targets_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*adjacency, weights, spikes, now[, sums]) -> sums`."""
    first_in, second_in, weights_in, spikes_in, now_in, *added, out = dtypes
    onto = len(added) > 0

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        try:
            inputs, places, origin = _sizes(frame, _FORWARD, now_in)
            if origin < 0:
                return _not_now(frame)
            first, second = _adjacency(frame, first_in, second_in)
            weights = array(frame, OPERANDS, 2, weights_in)
            spikes = array(frame, OPERANDS, 3, spikes_in)
            sums = array(frame, RESULTS, 0, out)
            if onto:
                copy(array(frame, OPERANDS, 5, out), sums)
            else:
                sums[:] = 0
            if are_drawn:
                inside = drawn.to_targets(
                    frame, first, second, weights, spikes, inputs, origin, sums, places
                )
            else:
                inside = stored.to_targets(
                    frame, first, second, weights, spikes, inputs, origin, sums, places
                )
            return 0 if inside else _outside(frame)
        except Exception:
            return _failed(frame)

    return handle


def ring_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*adjacency, weights, spikes, now, ring) -> (ring, drive)`."""
    first_in, second_in, weights_in, spikes_in, now_in, _, out, _ = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        try:
            inputs, places, origin = _sizes(frame, _FORWARD, now_in)
            if origin < 0:
                return _not_now(frame)
            first, second = _adjacency(frame, first_in, second_in)
            weights = array(frame, OPERANDS, 2, weights_in)
            spikes = array(frame, OPERANDS, 3, spikes_in)
            ring, drive = array(frame, RESULTS, 0, out), array(frame, RESULTS, 1, out)
            copy(array(frame, OPERANDS, 5, out), ring)
            if are_drawn:
                inside = drawn.to_targets(
                    frame, first, second, weights, spikes, inputs, origin, ring, places
                )
            else:
                inside = stored.to_targets(
                    frame, first, second, weights, spikes, inputs, origin, ring, places
                )
            stored.leave(ring, drive, places, length(frame, RESULTS, 0, -1, 0), origin)
            return 0 if inside else _outside(frame)
        except Exception:
            return _failed(frame)

    return handle


def weights_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*adjacency, spikes, sums, now) -> gains of the weights`."""
    first_in, second_in, spikes_in, sums_in, now_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        try:
            inputs, places, origin = _sizes(frame, _TO_WEIGHTS, now_in)
            if origin < 0:
                return _not_now(frame)
            first, second = _adjacency(frame, first_in, second_in)
            spikes, sums = array(frame, OPERANDS, 2, spikes_in), array(frame, OPERANDS, 3, sums_in)
            gains = array(frame, RESULTS, 0, out)
            gains[:] = 0
            if are_drawn:
                inside = drawn.to_weights(
                    frame, first, second, spikes, sums, inputs, origin, gains, places
                )
            else:
                inside = stored_transposes.to_weights(
                    frame, first, second, spikes, sums, inputs, origin, gains, places
                )
            return 0 if inside else _outside(frame)
        except Exception:
            return _failed(frame)

    return handle


def inputs_handler(
    dtypes: tuple[Any, ...], are_drawn: bool, version: tuple[int, int], revision: str
) -> Handler:
    """`(*adjacency, weights, sums, now) -> gains of the inputs`."""
    first_in, second_in, weights_in, sums_in, now_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        try:
            inputs, places, origin = _sizes(frame, _TO_INPUTS, now_in)
            if origin < 0:
                return _not_now(frame)
            first, second = _adjacency(frame, first_in, second_in)
            weights, sums = (
                array(frame, OPERANDS, 2, weights_in),
                array(frame, OPERANDS, 3, sums_in),
            )
            gains = array(frame, RESULTS, 0, out)
            gains[:] = 0
            if are_drawn:
                inside = drawn.to_inputs(
                    frame, first, second, weights, sums, inputs, origin, gains, places
                )
            else:
                inside = stored_transposes.to_inputs(
                    frame, first, second, weights, sums, inputs, origin, gains, places
                )
            return 0 if inside else _outside(frame)
        except Exception:
            return _failed(frame)

    return handle


def dense_handler(dtypes: tuple[Any, ...], version: tuple[int, int], revision: str) -> Handler:
    """`(weights, gains, spikes) -> sums`; gains are of the shape of the weights, or none."""
    weights_in, gains_in, spikes_in, out = dtypes

    def handle(frame: int) -> int:
        if answered(frame, version, revision):
            return 0
        try:
            sums = array(frame, RESULTS, 0, out)
            sums[:] = 0
            dense.to_targets(
                frame,
                array(frame, OPERANDS, 0, weights_in),
                array(frame, OPERANDS, 1, gains_in),
                array(frame, OPERANDS, 2, spikes_in),
                length(frame, OPERANDS, 0, 0, 1),
                sums,
                length(frame, OPERANDS, 0, 1, 2),
            )
            return 0
        except Exception:
            return _failed(frame)

    return handle


HANDLERS: dict[str, Callable[..., Handler]] = {
    "targets": targets_handler,
    "ring": ring_handler,
    "weights": weights_handler,
    "inputs": inputs_handler,
    "dense": dense_handler,
}
"""Makers of handlers, by the name of what they give."""

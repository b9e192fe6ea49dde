"""Connections that have a trace or a spike of their own: rows that lead to traces, or from spikes.

A trace of one connection is a target that no other connection has, and its spike an input that has
no other. So the rows of such connections are read as any others are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ._connect import Connections, pairs, stored_rows
from ._layout import Layout, as_matrix
from ._own_places import OwnPlaces
from ._own_shards import OwnShards, own_shards
from ._projections.rows import StoredRows

NumPyArray = np.ndarray[Any, Any]


class Read(NamedTuple):
    """Connections as a projection reads them.

    Attributes:
        connections: The connections, as one device has them.
        ends: Input and target of each connection; None if they are those of the rows.
        traces: Target of each trace, of shape `(inputs, width)`, where the connections of an input
            have traces one after the other, and beyond the end of a row the number of targets; None
            if targets have them. On several devices along the targets the width is that of the
            traces of each, side by side.
        shards: The connections as devices have them; None for one device.
        places: Which of `traces`, flat, belongs to each connection; None if targets have them.
    """

    connections: Connections | None
    ends: tuple[NumPyArray, NumPyArray] | None = None
    traces: NumPyArray | None = None
    shards: OwnShards | None = None
    places: NumPyArray | None = None


def read(
    found: Connections | None, traced: bool, spiking: bool, grid: tuple[int, int] = (1, 1)
) -> Read:
    """Connections with traces or spikes of their own.

    Args:
        found: The connections; None if every input reaches every target at once.
        traced: Whether each has a trace.
        spiking: Whether each has a spike.
        grid: How many devices there are along the inputs, and along the targets.

    Raises:
        ValueError: If they are not stored.
    """
    if found is None or not (traced or spiking):
        return Read(found)
    rows = found.rows
    if not isinstance(rows, StoredRows):
        raise ValueError(
            "procedural connections are not stored, and have no traces or spikes of their own: "
            "give time constants per target, or untrained ones per input, and spikes of inputs; or "
            "take a connectivity that is stored."
        )
    # As they were laid out: also where the build is part of a compiled program.
    with jax.ensure_compile_time_eval():
        pre, post = map(np.asarray, pairs(rows, found.adjacency))
        delays = np.asarray(rows.all(found.adjacency)[1]) // rows.targets
        return lay_out_own(pre, post, delays, (rows.inputs, rows.targets), traced, spiking, grid)


def lay_out_own(
    pre: NumPyArray,
    post: NumPyArray,
    delays: NumPyArray,
    shape: tuple[int, int],
    traced: bool,
    spiking: bool,
    grid: tuple[int, int],
) -> Read:
    """Lay out connections of which each has a trace or a spike.

    Args:
        pre: Input of each connection, ascending.
        post: Target of each.
        delays: Delay of each in steps.
        shape: Number of inputs and of targets.
        traced: Whether each has a trace.
        spiking: Whether each has a spike.
        grid: How many devices there are along the inputs, and along the targets.
    """
    whole = OwnPlaces(pre, post, shape)
    here = whole if grid == (1, 1) else dataclasses.replace(whole, grid=grid)
    traces, (inputs, targets), start, led_to = None, shape, pre, post
    if traced:
        targets, led_to = inputs * whole.width, whole.traces
        traces = np.full((inputs, grid[1] * here.width), shape[1], np.int32)
        traces.reshape(-1)[here.traces] = post
    shards = None if here is whole else own_shards(here, delays, traced, spiking)
    if spiking:
        inputs, start = len(pre), np.arange(len(pre))
    laid = stored_rows(start, led_to, inputs, targets, delays)
    ends = pre.astype(np.int32), post.astype(np.int32)
    return Read(Connections(*laid), ends, traces, shards, here.traces if traced else None)


def in_devices(traces: NumPyArray, targets: int, along: int) -> NumPyArray:
    """`Read.traces` counted among the targets of each of so many devices along all of them."""
    own = targets // along
    return np.where(traces < targets, traces % own, own)


def with_traces(
    layout: Layout,
    traces: NumPyArray,
    units: tuple[int, ...],
    inputs: tuple[int, ...],
    trainable: Sequence[str],
) -> tuple[Layout, tuple[str, ...]]:
    """A layout with a trace per synapse as one with a trace per connection.

    Args:
        layout: The layout, whose parameters of the tracer broadcast to `(*inputs, *units)`; those
            that are drawn for each connection stay so.
        traces: Target of each trace, as in `Read`.
        units: Shape of the targets.
        inputs: Shape of the inputs.
        trainable: Names of parameters that will change.

    Returns:
        The same, with parameters that broadcast to `(*inputs, width)`; but those that are trained
        and differ over targets, without a value for each input and target, stay as they are: their
        names.
    """
    tracer: dict[str, Any] = {}
    shared: list[str] = []
    axes = tuple(range(len(inputs)))
    post = np.minimum(traces, math.prod(units) - 1)
    for name, value in layout.tracer.items():
        array: Any = value if isinstance(value, jax.core.Tracer) else np.asarray(value)
        lead = array.shape[: array.ndim - len(units)]
        if array.ndim == 0:
            tracer[name] = value
        elif array.size == math.prod(lead):
            tracer[name] = array.reshape(*lead, 1)
        elif name in trainable and array.size < math.prod(units) * math.prod(inputs):
            tracer[name] = value
            shared.append(name)
        else:
            if lead:  # as `as_matrix` takes it, targets first
                array = np.moveaxis(array, axes, range(-len(inputs), 0))
            matrix = as_matrix(array, units, inputs)
            rows = np.arange(len(traces))[:, None] if matrix.shape[0] > 1 else 0
            tracer[name] = matrix[rows, post].reshape(*inputs, post.shape[1])
    return layout._replace(tracer=tracer), tuple(shared)

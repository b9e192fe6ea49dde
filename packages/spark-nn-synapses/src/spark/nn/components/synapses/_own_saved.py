"""Traces and spikes of connections in checkpoints: read into any grid of devices."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from spark.core.checkpoints import CheckpointError
from spark.core.tracers import BaseTracer

from ._matrix import Matrix
from ._own import Read, in_devices, lay_out_own
from ._own_places import OwnPlaces
from ._own_tracer import SharingTracer
from ._stages.total import Base

NumPyArray = np.ndarray[Any, Any]


def described_traces(matrix: Matrix, tracer: BaseTracer, total: Base) -> dict[str, str | None]:
    """Dtypes and shapes of what has a trace per connection, as one device has it."""
    assert total.targets is not None
    assert matrix.rows is not None
    inputs, present = total.targets.get_value().shape
    width = matrix.rows.targets // max(inputs, 1)

    def whole(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], width) if shape[-1:] == (present,) else shape

    recurrence = tracer.recurrence
    arrays = {"total.targets": total.targets.get_value()}
    if isinstance(tracer, SharingTracer):
        arrays["current_tracer.targets"] = tracer.targets.get_value()
    for name in (*_of_connections(tracer), *recurrence.traces):
        arrays[f"current_tracer.{name}"] = getattr(tracer, name).get_value()
    about: dict[str, str | None] = {
        name: f"{each.dtype}{list(whole(each.shape))}" for name, each in arrays.items()
    }
    return about | {"current_tracer.shape": str(whole(tracer.shape))}


def of_other_places(
    arrays: dict[str, Any],
    grid: tuple[int, int],
    matrix: Matrix,
    tracer: BaseTracer | None,
    total: Base | None,
) -> dict[str, Any]:
    """Arrays of synapses that were saved on another grid, as this one has them.

    Args:
        arrays: By name, on the host.
        grid: How many devices there were along the inputs, and along the targets.
        matrix: Where they belong; its connections have traces or spikes of their own.
        tracer: Likewise.
        total: Likewise.

    Raises:
        CheckpointError: If they are of connections that need other shapes here.
    """
    traced = total is not None and total.targets is not None
    saved, inputs = arrays["matrix"], math.prod(matrix.inputs)
    shape, spiking = (inputs, math.prod(matrix.units)), matrix.async_spikes
    before = OwnPlaces(saved["ends"][0], saved["ends"][1], shape, grid)
    here = dataclasses.replace(before, grid=matrix.partition.grid if matrix.partition else (1, 1))
    size = before.own[0] * before.width if traced else before.own[1]
    delays = saved["adjacency"][1][before.entries].astype(np.int64) // max(size, 1)
    as_read = lay_out_own(before.pre, before.post, delays, shape, traced, spiking, here.grid)

    def along_rows(values: NumPyArray) -> NumPyArray:
        if values.ndim != 1:
            return values
        found = np.zeros(here.devices * here.most, values.dtype)
        found[here.entries] = values[before.entries]
        return found

    moved = {**saved, **_connections(as_read), "weights": along_rows(saved["weights"])}
    if as_read.shards is None:
        moved.pop("own", None)
    if "gains" in saved:
        moved["gains"] = {name: along_rows(each) for name, each in saved["gains"].items()}
    if "groups" in saved and spiking:
        moved["groups"] = along_rows(saved["groups"])
    if "pending" in saved:
        slots = saved["pending"]["slots"]
        found = np.zeros((*slots.shape[:-1], here.devices * here.own[0] * here.width), slots.dtype)
        found[..., here.sums] = slots[..., before.sums]
        moved["pending"] = {**saved["pending"], "slots": found}
    same = moved["weights"].shape == matrix.weights.get_value().shape
    if total is not None and total.targets is not None and as_read.traces is not None:
        same &= as_read.traces.shape == total.targets.get_value().shape
    if not same:
        raise CheckpointError(
            "other connections than in the checkpoint, which has them on another mesh: where they "
            "have traces or spikes of their own, build the module with the same connections."
        )
    found_all = {**arrays, "matrix": moved}
    if as_read.traces is not None:
        targets = in_devices(as_read.traces, shape[1], here.grid[1])
        found_all["total"] = {**arrays["total"], "targets": targets}
        traces = _traces(arrays["current_tracer"], tracer, before, here, as_read.traces)
        if isinstance(tracer, SharingTracer):
            traces["targets"] = targets
        found_all["current_tracer"] = traces
    return found_all


def _of_connections(tracer: Any) -> list[str]:
    """Names of the parameters that traces have values of."""
    shared = tracer.shared if isinstance(tracer, SharingTracer) else ()
    return [name for name in tracer.recurrence.parameters._fields if name not in shared]


def _connections(as_read: Read) -> dict[str, Any]:
    """The arrays of which connections there are, by name."""
    assert as_read.connections is not None
    shards = as_read.shards
    if shards is None:
        return {"adjacency": dict(enumerate(map(np.asarray, as_read.connections.adjacency)))}
    adjacency, own = (shards.starts, shards.places), (shards.order, shards.pre)
    return {"adjacency": dict(enumerate(adjacency)), "own": dict(enumerate(own))}


def _traces(
    saved: Any, tracer: Any, before: OwnPlaces, here: OwnPlaces, targets: Any
) -> dict[str, Any]:
    """Parameters and traces; where there is no connection, these are at rest."""
    recurrence, moved = tracer.recurrence, dict(saved)
    inputs, width = here.shape[0], before.grid[1] * before.width
    for name in _of_connections(tracer):
        value, present = saved[name], getattr(tracer, name).get_value().shape
        if not value.ndim or value.shape[-1] == present[-1] == 1:  # alike for all of an input
            continue
        whole = np.broadcast_to(value, (*value.shape[:-1], width)).reshape(-1)
        found = np.resize(whole, math.prod(present))  # any value will do where there is none
        found[here.traces] = whole[before.traces]
        moved[name] = found.reshape(present)
    parameters = {name: jnp.asarray(moved[name]) for name in recurrence.parameters._fields}
    if isinstance(tracer, SharingTracer):
        gather = dataclasses.replace(tracer.gather, partition=None)
        for name in tracer.shared:
            parameters[name] = gather(parameters[name], jnp.asarray(targets))
    rest = recurrence.init(recurrence.parameters(**parameters), tracer.shape, tracer.dtype)
    batch = math.prod(tracer.shape) // max(inputs * here.grid[1] * here.width, 1)
    for name, at_rest in zip(recurrence.traces, rest.traces, strict=True):
        found = np.array(at_rest).reshape(batch, -1)
        found[:, here.traces] = saved[name].reshape(batch, inputs * width)[:, before.traces]
        moved[name] = found.reshape(tracer.shape)
    return moved

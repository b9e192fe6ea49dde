"""What `build` makes of a configuration: the chain of stages, and the holder of each."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from spark.core.internal import as_parameter, as_storage_dtype, compute_dtype, require_fit
from spark.core.tracers import BaseTracer, Constant
from spark.nn.initializers import Drawn

from ._arguments import InputSpec
from ._chain import Chain
from ._connect import Connections, along_rows, connect
from ._drawn import drawn_fields, of_traces, typical, values, with_factors, with_values
from ._layout import Layout, lay_out
from ._matrix import Matrix
from ._own import Read, in_devices, read, with_traces
from ._own_tracer import Gather, sharing
from ._projections.base import Projection
from ._projections.grouped import Grouped
from ._projections.per_synapse import PerSynapse
from ._projections.rows import DrawnRows
from ._projections.sparse import Sparse
from ._sharding import shard
from ._stages.delay import Delay, DelayLine
from ._stages.release import Release
from ._stages.total import Base, Total, TotalOfConnections
from ._weights import dense_weights, warn_of_faint_currents, weights_along_rows
from .partition import Names, Partition


class Links(NamedTuple):
    """The holders of the stages of a chain, in their order; None where there is no such stage."""

    release_tracer: BaseTracer | None
    delay_line: DelayLine | None
    matrix: Matrix
    current_tracer: BaseTracer | None
    total: Base | None


def build(
    config: Any,
    spec: InputSpec,
    key: Array,
    seed: Array,
    tracer_class: type[Any] | None,
    release_class: type[Any] | None,
    partition: Partition | None,
) -> tuple[Chain, Links]:
    """Allocate and check what a configuration says.

    Args:
        config: The configuration of synapses.
        spec: What will come in.
        key: JAX PRNG key of connections and kernel.
        seed: JAX PRNG key of stochastic rounding.
        tracer_class: What the drive runs through; None passes it on.
        release_class: What gives the efficacy of the inputs; None leaves it at 1.
        partition: How to shard the arrays over devices; None keeps them whole.

    Raises:
        TypeError: If `partition` is not a `Partition`.
        ValueError: If something does not fit something else; the message names both.
    """
    units, batch = config.units, spec.batch
    inputs = spec.inputs(config)
    config, drawn_by = with_values(config, inputs, key), key
    if partition is not None:
        if not isinstance(partition, Partition):
            raise TypeError(f"partition must be a Partition or None, got {partition!r}.")
        partition.require_fit(units, inputs, batch)
    connected = key
    if config.connectivity != "dense":
        connected, key = jax.random.split(key)
    layout = None
    if tracer_class is not None and config.connectivity != "dense":
        layout = _laid_out(config, inputs, True)
    own = spec.async_spikes or (layout is not None and layout.sharing == "synapse")
    several = not own and partition is not None and partition.grid != (1, 1)
    # In the order of the whole.
    given = isinstance(config.kernel_initializer, np.ndarray) or bool(drawn_fields(config))
    by_device = partition if several and not given else None
    found, delays = connect(config, inputs, connected, by_device)
    if config.connectivity == "dense":
        weights = dense_weights(config, key, units + inputs, partition)
        if tracer_class is not None:
            layout = _laid_out(config, inputs, found is not None)
    else:
        assert found is not None
        found = with_factors(config, found)
        weights = weights_along_rows(config, found, key)
    traced = layout is not None and layout.sharing == "synapse"
    grid = (1, 1) if partition is None else partition.grid
    read_as = read(found, traced, spec.async_spikes, grid)
    matrix = Matrix(units, inputs, weights, read_as, spec.async_spikes, partition)

    release = line = tracer = None
    if release_class is not None:
        release = _release(config, release_class, (*batch, *inputs), seed)
    if delays is not None and delays.any():
        slots = (int(delays.max()) + 1, *batch, math.prod(inputs))
        line = DelayLine(slots, compute_dtype(as_storage_dtype(config.dtype)), delays)
    if layout is not None and tracer_class is not None:
        kind: Any = tracer_class
        if read_as.traces is not None:
            layout, shared = with_traces(layout, read_as.traces, units, inputs, config.trainable)
            layout = of_traces(config, layout, read_as, inputs, drawn_by)
            kind = sharing(kind, shared, Gather(inputs, units), read_as.traces)
        traced = units if read_as.traces is None else read_as.traces.shape[1:]
        tracer = _trace(config, kind, layout, (*batch, *layout.lead, *traced), seed)
        _keep_gains(matrix, config, layout, found, read_as, drawn_by)
    traces = read_as.traces
    if traces is not None:
        traces = in_devices(traces, math.prod(units), grid[1])
    total = _total(config, layout, tracer, traces)
    if config.connectivity != "dense":
        warn_of_faint_currents(typical(config), found, inputs, matrix.weights.get_value())
    if partition is not None:
        matrix.shard(None if found is None else found.by_device, read_as.shards)
    matrix.pending = nnx.data(_pending(config, matrix, batch, layout, read_as))
    links = Links(release, line, matrix, tracer, total)
    projection = _projection(config, spec, inputs, read_as, matrix, layout)
    stages = [
        release and Release(release.recurrence),
        line and Delay(inputs if partition is None else partition.local(inputs, partition.inputs)),
        projection,
        tracer and tracer.recurrence,
        total and total.stage,
    ]
    if partition is not None:
        lead: Names = () if layout is None else (None,) * len(layout.lead)
        if layout is not None and layout.sharing == "synapse":
            lead = (partition.inputs, *lead[1:])
        stages = shard(stages, links, partition, len(batch), lead)
    if config.connectivity == "dense":
        warn_of_faint_currents(typical(config), found, inputs, matrix.weights.get_value())
    return Chain(tuple(each for each in stages if each is not None)), links


def _projection(
    config: Any,
    spec: InputSpec,
    inputs: tuple[int, ...],
    read_as: Read,
    matrix: Matrix,
    layout: Layout | None,
) -> Any:
    """The projection for the connections, the spikes and the layout of the traces.

    With a partition that of a device; but one with a result per synapse is the whole, which the
    compiler shards.
    """
    sharing, lead = ("target", ()) if layout is None else (layout.sharing, layout.lead)
    units, batch, partition = config.units, spec.batch, matrix.partition
    per_synapse = sharing == "synapse" or spec.async_spikes
    rows = matrix.rows if matrix.shards is None else matrix.shards.own
    if read_as.shards is not None:
        rows = read_as.shards.rows
    if partition is not None and (rows is not None or not per_synapse):
        units = partition.local(units, partition.targets)
        inputs = partition.local(inputs, partition.inputs)
        batch = partition.local(batch, partition.batch)
    shared: dict[str, Any] = {
        "units": units,
        "inputs": inputs,
        "batch": batch + lead if sharing == "group" else batch,
        "dtype": as_storage_dtype(config.dtype),
        "way": config.projection,
    }
    each: Projection
    if rows is not None:
        if read_as.traces is not None:
            along = 1 if partition is None else partition.grid[1]
            shared["units"] = (*inputs, read_as.traces.shape[1] // along)
        if spec.async_spikes:
            shared["inputs"] = (rows.inputs,)
        each = Sparse(**shared, rows=rows)
    elif per_synapse:
        summed = sharing != "synapse"
        each = PerSynapse(**shared, async_spikes=spec.async_spikes, summed=summed)
    else:
        each = config.projection_class(**shared)
    return Grouped(each) if sharing == "group" else each


def _pending(
    config: Any, matrix: Matrix, batch: tuple[int, ...], layout: Layout | None, read_as: Read
) -> DelayLine | None:
    """Sums on their way; each device along the inputs has some of its own."""
    rows, partition = matrix.rows, matrix.partition
    if rows is None or rows.steps == 1:
        return None
    lead = () if layout is None or layout.sharing == "synapse" else layout.lead
    dtypes = [as_storage_dtype(each) for each in (config.dtype, config.dtype_of_kernel)]
    widest = max(map(compute_dtype, dtypes), key=lambda dtype: dtype.itemsize)
    grid = (1, 1) if partition is None else partition.grid
    size = rows.steps * grid[0], rows.targets
    if read_as.shards is not None:  # of traces of connections, each device has some of its own
        size = rows.steps, math.prod(grid) * read_as.shards.rows.targets
    return DelayLine((*batch, *lead, *size), widest)


def _release(config: Any, kind: type[Any], shape: tuple[int, ...], seed: Array) -> Any:
    """The tracer before the projection."""
    for name, value in config.release.items():
        require_fit(name, np.shape(value), shape)
    return kind(
        shape,
        **config.release,
        seed=jax.random.fold_in(seed, 1),  # its rounding is independent of the other tracer's
        dtype=config.dtype,
        dt=config.dt,
        rounding=config.rounding,
        trainable=[name for name in config.trainable if name in config.release],
    )


def _laid_out(config: Any, inputs: tuple[int, ...], along_rows: bool) -> Layout:
    """The layout of the traces, as few as the parameters allow."""
    kind = config.recurrence_class
    return lay_out(kind, config.parameters, config.units, inputs, config.trainable, along_rows)


def _trace(config: Any, kind: Any, layout: Layout, shape: tuple[int, ...], seed: Array) -> Any:
    """The tracer after the projection."""
    return kind(
        shape,
        **layout.tracer,
        seed=seed,
        dtype=config.dtype,
        dt=config.dt,
        integrator=config.integrator,
        rounding=config.rounding,
        trainable=[
            name
            for name in config.trainable
            if name in config.parameters and name not in layout.kept
        ],
    )


def _kind(config: Any, name: str) -> Any:
    return nnx.Param if name in config.trainable else Constant


def _keep_gains(
    matrix: Matrix,
    config: Any,
    layout: Layout,
    found: Connections | None,
    read_as: Read,
    key: Array,
) -> None:
    """Keep what multiplies the kernel: scales that vary over inputs, and groups of these."""
    for name in layout.gains:
        value, dtype = layout.kept[name], as_storage_dtype(config.dtype)
        if isinstance(value, Drawn):
            assert found is not None
            if isinstance(found.rows, DrawnRows):
                continue  # a factor of the weights
            value = values(config, name, (found.rows.weights,), key)
        elif found is not None and found.by_device is None:
            value = along_rows(found, name, value)
        kept: Any = as_parameter(name, value, np.shape(value), dtype).kept
        if found is not None and found.by_device is not None:
            kept = along_rows(found, name, kept)
        matrix.gains[name] = _kind(config, name)(jnp.asarray(kept))
    if layout.groups is not None:
        groups = layout.groups
        if matrix.async_spikes and read_as.ends is not None:
            groups = groups[read_as.ends[0]]
        matrix.groups = nnx.data(Constant(jnp.asarray(groups)))


def _total(
    config: Any, layout: Layout | None, tracer: Any, traces: np.ndarray[Any, Any] | None
) -> Base | None:
    """What adds up the traces of a target, or casts sums that no tracer has; None without need."""
    if layout is not None and layout.sharing == "target":
        return None
    dtype = as_storage_dtype(config.dtype)
    several = 0 if layout is None else len(layout.lead)
    stage = Total(several, config.units, dtype)
    if traces is not None:
        stage = TotalOfConnections(several + 1, config.units, dtype)
    if layout is None or layout.base is None:
        return Base(stage)
    name = layout.base
    limits = tracer.recurrence.range(dtype)
    return Base(stage, layout.kept[name], limits, _kind(config, name), name, traces)

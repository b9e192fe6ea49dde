"""Where the arrays of a chain live on several devices, and the stages that go by it."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax.sharding import PartitionSpec

from ._own_shards import Selecting, TotalOfShards
from ._own_tracer import SharingTracer
from ._projections.base import Kernel
from ._projections.grouped import Grouped
from ._projections.per_synapse import PerSynapse
from ._projections.rows import DrawnRows
from ._stages.crossing import Crossing
from ._stages.delay import DelayLine
from ._stages.ring import RingBuffer
from ._stages.sharded import Placed, Sharded
from ._stages.total import TotalOfConnections
from .partition import Names, Partition, cut


def shard(
    stages: list[Any], links: Any, partition: Partition, batch: int, lead: Names
) -> list[Any]:
    """Put all arrays of some links where a partition has them.

    Args:
        stages: Release, delay, projection, trace and total, as one device runs them on its part;
            None where there is no such stage.
        links: Their holders.
        partition: Which axis of the mesh cuts what.
        batch: Number of axes of the batch.
        lead: How the axes of the traces are cut that are neither of the batch nor of the targets.

    Returns:
        The stages, as all devices run them together.
    """
    release, delay, projection, trace, total = stages
    matrix = links.matrix
    spikes = partition.spikes(batch, len(matrix.inputs))
    sums = partition.traces(batch, lead, len(matrix.units))
    traced = links.total is not None and links.total.targets is not None
    traces = partition.traces(batch, lead, 1) if traced else sums
    if release is not None:
        _place_tracer(links.release_tracer, partition, spikes)
        release = Placed(release, partition, spikes)
    if delay is not None:
        delays, ring = _place_line(links.delay_line, partition, partition.spikes(batch, 1))
        delay = Sharded(delay, partition, delays, ring, spikes, spikes)
    _place_matrix(matrix, batch, len(lead))
    inner = projection.projection if isinstance(projection, Grouped) else projection
    if not isinstance(inner, PerSynapse):  # the compiler shards an elementwise one
        ring = None
        if matrix.pending is not None:
            slots = PartitionSpec(*_slots(matrix, batch, len(lead)))
            ring = RingBuffer(slots, PartitionSpec())  # type: ignore[arg-type]
        kernel = _specifications(names_of(matrix))
        of_spikes, over = spikes, None if traced else partition.inputs
        if matrix.async_spikes:
            of_spikes = (*partition.spikes(batch, 0), *partition.flat)
        projection = Sharded(projection, partition, kernel, ring, of_spikes, traces, over)
        if matrix.async_spikes and matrix.own:
            projection = Selecting(projection, partition, of_spikes)
    if trace is not None:
        elsewhere: Any = ()
        if isinstance(links.current_tracer, SharingTracer):
            targets = links.total.targets.get_value()
            elsewhere = links.current_tracer.shard(partition, targets)
        _place_tracer(links.current_tracer, partition, traces, elsewhere)
        trace = Placed(trace, partition, traces)
    if total is not None and links.total.base is not None:
        partition.place(links.total.base, sums[len(sums) - len(matrix.units) :])
    if traced:
        partition.place(links.total.targets, partition.kernel)
        sums = partition.traces(batch, (), len(matrix.units))
        units = partition.local(matrix.units, partition.targets)
        local = TotalOfConnections(total.several, units, total.dtype)
        total = TotalOfShards(
            total.several, total.units, total.dtype, partition, local, traces, sums
        )
    stages = [release, delay, projection, trace, total]
    several = partition.grid[1] > 1
    if several and not matrix.async_spikes:  # each device reads the spikes of others
        first = next(place for place, stage in enumerate(stages) if stage is not None)
        stages[first] = Crossing(stages[first], partition, batch)
    return stages


def _place_matrix(matrix: Any, batch: int, lead: int) -> None:
    """Put the arrays where the partition has them.

    Args:
        matrix: The matrix.
        batch: Number of axes of the batch.
        lead: Number of axes of the groups of a trace.
    """
    names: Any = names_of(matrix)
    for weights, each in zip((matrix.weights, *matrix.gains.values()), names.weights, strict=True):
        matrix.partition.place(weights, each)
    if matrix.groups is not None:
        matrix.partition.place(matrix.groups, names.groups)
    for variable, each in zip(matrix.adjacency, names.adjacency or (), strict=True):
        matrix.partition.place(variable, each)
    for variable in matrix.own:
        matrix.partition.place(variable, matrix.partition.flat)
    for variable in matrix.ends:
        matrix.partition.place(variable, (None,))
    if matrix.pending is not None:
        matrix.partition.place(matrix.pending.slots, _slots(matrix, batch, lead))
        matrix.partition.place(matrix.pending.cursor, ())


def _slots(matrix: Any, batch: int, lead: int) -> Names:
    """How sums on their way are cut: those of traces lie one device after the other."""
    partition: Partition = matrix.partition
    if matrix.ends:
        return (*partition.spikes(batch, 0), None, *partition.flat)
    return partition.sums(batch, lead)


def names_of(matrix: Any) -> Any:
    """How the arrays of `parameters` are cut: a kernel with names in their place."""
    partition: Partition = matrix.partition
    drawn = isinstance(matrix.rows, DrawnRows)
    along_rows: Names = (None,) if drawn else partition.flat
    shapes = [each.get_value().shape for each in (matrix.weights, *matrix.gains.values())]
    weights: Any = tuple(
        cut(shape, partition.kernel) if len(shape) == 2 else along_rows for shape in shapes
    )
    of_groups = partition.flat if matrix.own and matrix.async_spikes else (partition.inputs,)
    groups: Any = None if matrix.groups is None else of_groups
    # Of drawn rows the words differ between devices, of stored ones both.
    adjacency: Any = (partition.flat, along_rows) if matrix.adjacency else None
    of_spikes: Any = partition.flat if matrix.ends and matrix.async_spikes else None
    return Kernel(weights, groups, adjacency, of_spikes)


def _specifications(names: Any) -> Kernel:
    """The names of the axes of a kernel as specifications."""

    def each(names: Any) -> Any:
        return None if names is None else PartitionSpec(*names)

    weights, groups, adjacency, pre, _ = names
    pair: Any = None if adjacency is None else tuple(map(each, adjacency))
    return Kernel(tuple(map(each, weights)), each(groups), pair, each(pre))


def _place_tracer(
    tracer: Any, partition: Partition, traces: Names, elsewhere: tuple[Any, ...] = ()
) -> None:
    """Put the arrays of a tracer, apart from some, where its traces are."""
    for _, variable in nnx.iter_graph(tracer):
        if isinstance(variable, nnx.Variable) and not any(variable is each for each in elsewhere):
            own = variable is not tracer.rng.key and variable is not tracer.rng.count
            partition.place(variable, traces if own else ())


def _place_line(line: DelayLine, partition: Partition, spikes: Names) -> tuple[Any, Any]:
    """Place delays and spikes on their way; gives the specifications of both."""
    assert line.delays is not None
    delays = cut(line.delays.get_value().shape, spikes[-1:])
    partition.place(line.delays, delays)
    partition.place(line.slots, (None, *spikes))
    partition.place(line.cursor, ())
    ring: Any = RingBuffer(PartitionSpec(None, *spikes), PartitionSpec())  # type: ignore[arg-type]
    return PartitionSpec(*delays), ring

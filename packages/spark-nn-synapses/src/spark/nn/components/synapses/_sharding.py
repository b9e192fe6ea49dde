"""Where the arrays of a chain live on several devices, and the stages that go by it."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax.sharding import PartitionSpec

from ._projections.base import Kernel
from ._projections.per_synapse import PerSynapse
from ._stages.crossing import Crossing
from ._stages.delay import DelayLine
from ._stages.ring import RingBuffer
from ._stages.sharded import Placed, Sharded
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
    traces = partition.traces(batch, lead, len(matrix.units))
    if release is not None:
        _place_tracer(links.release_tracer, partition, spikes)
        release = Placed(release, partition, spikes)
    if delay is not None:
        delays, ring = _place_line(links.delay_line, partition, partition.spikes(batch, 1))
        delay = Sharded(delay, partition, delays, ring, spikes, spikes)
    matrix.place(batch, len(lead))
    if not isinstance(projection, PerSynapse):  # the compiler shards an elementwise one
        ring = None
        if matrix.pending is not None:
            slots = PartitionSpec(*partition.sums(batch, len(lead)))
            ring = RingBuffer(slots, PartitionSpec())  # type: ignore[arg-type]
        kernel = _specifications(matrix.names)
        projection = Sharded(projection, partition, kernel, ring, spikes, traces, partition.inputs)
    if trace is not None:
        _place_tracer(links.current_tracer, partition, traces)
        trace = Placed(trace, partition, traces)
    if total is not None and links.total.base is not None:
        partition.place(links.total.base, traces[len(traces) - len(matrix.units) :])
    stages = [release, delay, projection, trace, total]
    if partition.targets is not None and not matrix.async_spikes:  # each device reads all spikes
        first = next(place for place, stage in enumerate(stages) if stage is not None)
        stages[first] = Crossing(stages[first], partition, batch)
    return stages


def _specifications(names: Any) -> Kernel:
    """The names of the axes of a kernel as specifications."""

    def each(names: Any) -> Any:
        return None if names is None else PartitionSpec(*names)

    weights, groups, adjacency, _ = names
    pair: Any = None if adjacency is None else tuple(map(each, adjacency))
    return Kernel(tuple(map(each, weights)), each(groups), pair)


def _place_tracer(tracer: Any, partition: Partition, traces: Names) -> None:
    for _, variable in nnx.iter_graph(tracer):
        if isinstance(variable, nnx.Variable):
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

"""The floor of a case: its counts over the limits of this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .case import Counts
from .records import Record


@dataclasses.dataclass(frozen=True)
class Limits:
    """Measured limits of a machine, through JAX.

    Attributes:
        bandwidths: Pairs of the size of an array, bytes, and the bytes per second that cross memory
            while it is read, copied or overwritten, whichever is most.
        flops: Floating-point operations per second of a matrix product.
        dispatch: Time to start a program and wait for its end, s.
    """

    bandwidths: tuple[tuple[float, float], ...]
    flops: float
    dispatch: float

    def bandwidth(self, working_set: float) -> float:
        """Bytes per second on at least this many bytes: the best rate of all sizes from there."""
        fitting = [rate for size, rate in self.bandwidths if size >= working_set]
        return max(fitting or [max(self.bandwidths)[1]])

    def floor(self, counts: Counts) -> float:
        """The least time of one call, s: of memory, arithmetic and dispatch, the longest."""
        moving = counts.bytes_moved / self.bandwidth(counts.bytes_moved)
        return max(moving, counts.flop / self.flops, counts.dispatches * self.dispatch)


def limits_in(records: Iterable[Record]) -> Limits | None:
    """The limits among some results; None if they were not measured."""
    found = {r.name.removeprefix("limits/"): r for r in records if r.name.startswith("limits/")}
    rates: dict[float, float] = {}
    for record in found.values():
        if record.counts.bytes_moved:
            size = record.sizes["bytes"]
            rates[size] = max(rates.get(size, 0.0), record.counts.bytes_moved / record.median)
    flops = [r.counts.flop / r.median for name, r in found.items() if name.startswith("gemm/")]
    if not rates or not flops or "dispatch" not in found:
        return None
    return Limits(tuple(sorted(rates.items())), max(flops), found["dispatch"].median)

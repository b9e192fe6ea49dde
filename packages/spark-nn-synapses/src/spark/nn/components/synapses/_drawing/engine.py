"""Connections drawn, or read from lists, and laid out by the CPU engine, in threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from spark.nn.initializers.distributions import Inverse

from .._connect import Laid
from .._cpu import REVISION, building
from . import freeze
from .lines import Ints, Lines, Span, Window
from .streams import DELAYS, PARTNERS, WEIGHTS, child

_GRAIN = 1 << 16
"""Connections that are worth another thread."""


class _Block(NamedTuple):
    """`Lines` as the kernels read them: always of the same types."""

    lines: Span
    partners: Span
    seeds: tuple[np.uint64, ...]
    counts: Ints
    most: int
    distinct: bool
    autapses: bool
    paired: bool
    weights: Inverse
    delays: Inverse
    least: float


def aligned(size: int, dtype: Any) -> np.ndarray[Any, Any]:
    """An array that JAX takes over without a copy, once it is frozen."""
    bytes_ = np.empty(size * np.dtype(dtype).itemsize + 64, np.uint8)
    first = -bytes_.ctypes.data % 64
    return bytes_[first : first + len(bytes_) - 64].view(dtype)


class Begun(NamedTuple):
    """Connections of some blocks, counted and not drawn yet.

    Attributes:
        blocks: The blocks.
        encoded: The same, as kernels read them.
        window: Inputs and targets whose connections these are.
        lengths: Connections of each input.
        shares: Of each block, ranges of its lines, and how many connections of each input there
            are in each of them, if that matters.
    """

    blocks: Sequence[Lines]
    encoded: list[_Block]
    window: Window
    lengths: Ints
    shares: list[tuple[list[Span], list[Any]]]

    @property
    def size(self) -> int:
        """Number of connections."""
        return int(self.lengths.sum())

    def fill(self, dtype: Any, room: int) -> Laid:
        """Draw them into arrays that have room for so many.

        Args:
            dtype: float32 or float64, of the weights.
            room: Length of the arrays.
        """
        _, fill, sort, *_ = building.kernels(REVISION)
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        places, weighed = aligned(room, np.uint32), self.blocks[0].weights is not None
        weights, cursors = aligned(room if weighed else 0, dtype), starts[:-1].copy()
        with ThreadPoolExecutor(_threads()) as pool:
            for lines, block, shares in zip(self.blocks, self.encoded, self.shares, strict=True):
                along, calls = lines.along == "inputs", []
                for part, each in enumerate(shares[0]):
                    own = cursors
                    if not along:  # the lines of other threads write to the same rows
                        cursors = cursors + shares[1][part]
                    calls.append((block, *each, along, self.window, own, places, weights))
                _run(pool, fill, calls)
            ranges = _ranges(self.lengths, pool, 0, len(self.lengths))
            _run(pool, sort, [(starts, *each, places, weights) for each in ranges])
        return Laid(starts, places, weights if weighed else None)


def count_rows(blocks: Sequence[Lines], window: Window, least: float) -> Begun:
    """Count the connections of blocks between some inputs and some targets.

    Args:
        blocks: The blocks; all with weights or none.
        window: Inputs and targets whose connections are laid out, counted from the first of these.
        least: Smallest magnitude of a weight other than 0.
    """
    count, *_ = building.kernels(REVISION)
    every = [_encoded(block, least) for block in blocks]
    lengths = np.zeros(window[1] - window[0], np.int64)
    found: list[Any] = []
    with ThreadPoolExecutor(_threads()) as pool:
        for lines, block in zip(blocks, every, strict=True):
            low, high = _within(lines, window)
            ranges = _ranges(block.counts, pool, low, high)
            counts: list[Any] = []
            along = lines.along == "inputs"
            if along and _covers(window[2:], lines.partners):
                first = lines.lines[0] + low - window[0]
                lengths[first : first + high - low] += block.counts[low:high]
            else:
                counts = [np.zeros(len(lengths), np.int32) for _ in ranges]
                calls: list[Any] = [
                    (block, *each, along, window, into)
                    for each, into in zip(ranges, counts, strict=True)
                ]
                _run(pool, count, calls)
                lengths += np.sum(counts, axis=0, dtype=np.int64)
            found.append((ranges, [] if along else counts))
    return Begun(blocks, every, window, lengths, found)


def _within(lines: Lines, window: Window) -> Span:
    """Which lines lead through a window, as places among those of the block."""
    low, high = window[:2] if lines.along == "inputs" else window[2:]
    first, last = lines.lines
    start = min(max(low, first), last)
    return start - first, max(start, min(high, last)) - first


def _covers(window: Span, partners: Span) -> bool:
    return window[0] <= partners[0] and partners[1] <= window[1]


Read = Callable[[slice, bool], tuple[Ints, Any, Any]]
"""Inputs of those connections of a part of some lists that are laid out; and, unless they are only
counted, their places and weights."""


class Counted(NamedTuple):
    """Connections of lists, counted and not sorted yet.

    Attributes:
        read: How to read them.
        ranges: Parts of the lists, one for each thread.
        counts: Connections of each input in each of these.
    """

    read: Read
    ranges: list[Span]
    counts: list[Any]

    @property
    def size(self) -> int:
        """Number of connections."""
        return sum(int(each.sum()) for each in self.counts)

    def fill(self, dtype: Any, room: int) -> Laid:
        """Sort them into arrays that have room for so many, first by inputs, then each row.

        Args:
            dtype: float32 or float64, of the weights; None without.
            room: Length of the arrays.
        """
        _, _, sort, _, scatter = building.kernels(REVISION)
        lengths: Ints = np.asarray(np.sum(self.counts, axis=0, dtype=np.int64))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = aligned(room, np.uint32)
        weights = aligned(room if dtype else 0, dtype or np.float32)

        def fill_part(low: int, high: int, cursors: Any) -> None:
            for some in _chunks(low, high):
                pre, to, values = self.read(some, False)
                values = weights[:0] if values is None else values.astype(weights.dtype)
                scatter(pre, to, values, cursors, places, weights)

        calls, cursors = [], starts[:-1].copy()
        for each, before in zip(self.ranges, self.counts, strict=True):
            calls.append((*each, cursors))
            cursors = cursors + before
        with ThreadPoolExecutor(_threads()) as pool:
            _run(pool, fill_part, calls)
            ranges = _ranges(lengths, pool, 0, len(lengths))
            _run(pool, sort, [(starts, *each, places, weights) for each in ranges])
        return Laid(starts, places, weights if dtype else None)


def count_lists(read: Read, size: int, inputs: int) -> Counted:
    """Count the connections of each input in lists.

    Args:
        read: How to read them.
        size: Length of the lists.
        inputs: Number of inputs.
    """
    *_, tally, _ = building.kernels(REVISION)
    with ThreadPoolExecutor(_threads()) as pool:
        parts = max(1, min(pool._max_workers, size // _GRAIN))
        ranges = list(itertools.pairwise([size * part // parts for part in range(parts + 1)]))
        counts = [np.zeros(inputs, np.int32) for _ in ranges]

        def count_part(low: int, high: int, into: Any) -> None:
            for some in _chunks(low, high):
                tally(read(some, True)[0], into)

        _run(pool, count_part, [(*each, into) for each, into in zip(ranges, counts, strict=True)])
    return Counted(read, ranges, counts)


def sort_rows(pre: Any, post: Any, inputs: int, targets: int, steps: Any, weights: Any) -> Laid:
    """As `laid_out`: by a counting sort of the inputs, then of each row."""

    def read(some: slice, counted: bool) -> tuple[Ints, Any, Any]:
        inputs_of = pre[some].astype(np.int64)
        if counted:
            return inputs_of, None, None
        to = post[some].astype(np.int64)
        if steps is not None:
            to += np.multiply(steps[some], targets, dtype=np.int64)
        return inputs_of, to, None if weights is None else weights[some]

    wide = None
    if weights is not None:
        wide = np.float64 if weights.dtype.itemsize > 4 else np.float32
    found = count_lists(read, len(pre), inputs).fill(wide, len(pre))
    freeze(found.places)
    if found.weights is None:
        return found
    return found._replace(weights=freeze(found.weights).astype(weights.dtype, copy=False))


def _chunks(low: int, high: int) -> list[slice]:
    size = 1 << 16
    return [slice(first, min(first + size, high)) for first in range(low, high, size)]


def _threads() -> int:
    """How many processors this process may use."""
    known = hasattr(os, "sched_getaffinity")  # not on every system
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def _encoded(block: Lines, least: float) -> _Block:
    seeds = [np.uint64(child(block.key, each)) for each in (PARTNERS, WEIGHTS, DELAYS)]
    counts = np.ascontiguousarray(block.counts, np.int64)
    most = max(1, int(counts.max(initial=0)))
    return _Block(
        block.lines,
        block.partners,
        tuple(seeds),
        counts,
        most,
        block.distinct,
        block.autapses,
        block.paired,
        _law(block.weights),
        _law(block.delays),
        least,
    )


def _law(given: Inverse | float | None) -> Inverse:
    law = given if isinstance(given, Inverse) else Inverse(given or 0.0, 0.0)
    fields: list[Any] = [each if isinstance(each, bool) else float(each) for each in law]
    return Inverse(*fields)


def _ranges(counts: Ints, pool: ThreadPoolExecutor, low: int, high: int) -> list[Span]:
    """Lines from one to another, in as many ranges as threads: about as many connections each."""
    ends = np.cumsum(counts[low:high])
    total = int(ends[-1]) if len(ends) else 0
    parts = max(1, min(pool._max_workers, total // _GRAIN))
    inner = np.searchsorted(ends, [total * part // parts for part in range(1, parts)]).tolist()
    bounds = [low, *(low + each for each in inner), high]
    return list(itertools.pairwise(bounds))


def _run(pool: ThreadPoolExecutor, function: Callable[..., None], calls: Sequence[Any]) -> None:
    """Call a function with each of several sets of arguments, side by side."""
    for done in [pool.submit(function, *arguments) for arguments in calls]:
        done.result()

"""Connections drawn and laid out by the CPU engine, in threads."""

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
from .lines import Ints, Lines, Span
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


def freeze(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same array, which nobody writes to any more: it need not be copied."""
    for each in (array.base, array):
        if isinstance(each, np.ndarray):
            each.setflags(write=False)
    return array


def aligned(size: int, dtype: Any) -> np.ndarray[Any, Any]:
    """An array that JAX takes over without a copy, once it is frozen."""
    bytes_ = np.empty(size * np.dtype(dtype).itemsize + 64, np.uint8)
    first = -bytes_.ctypes.data % 64
    return bytes_[first : first + len(bytes_) - 64].view(dtype)


def draw_rows(blocks: Sequence[Lines], inputs: int, targets: int, dtype: Any, least: float) -> Laid:
    """Draw blocks, and lay out their connections.

    Args:
        blocks: The blocks; all with weights or none.
        inputs: Number of inputs.
        targets: Number of targets.
        dtype: float32 or float64, of the weights.
        least: Smallest magnitude of a weight other than 0.
    """
    count, fill, sort, *_ = building.kernels(REVISION)
    every = [_encoded(block, least) for block in blocks]
    with ThreadPoolExecutor(_threads()) as pool:
        lengths = np.zeros(inputs, np.int64)
        partial: dict[int, Any] = {}
        for number, (lines, block) in enumerate(zip(blocks, every, strict=True)):
            if lines.along == "inputs":
                lengths[slice(*lines.lines)] += block.counts
                continue
            ranges = _ranges(block.counts, pool)
            counts = [np.zeros(inputs, np.int32) for _ in ranges]
            _run(
                pool,
                count,
                [(block, *each, into) for each, into in zip(ranges, counts, strict=True)],
            )
            partial[number] = ranges, counts
            lengths += np.sum(counts, axis=0, dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = aligned(int(starts[-1]), np.uint32)
        weighed = blocks[0].weights is not None
        weights = aligned(len(places) if weighed else 0, dtype)
        cursors = starts[:-1].copy()
        for number, (lines, block) in enumerate(zip(blocks, every, strict=True)):
            if lines.along == "inputs":
                calls = [
                    (block, *each, True, targets, cursors, places, weights)
                    for each in _ranges(block.counts, pool)
                ]
            else:
                calls = []
                for each, before in zip(*partial[number], strict=True):
                    own, cursors = cursors, cursors + before
                    calls.append((block, *each, False, targets, own, places, weights))
            _run(pool, fill, calls)
        ranges = _ranges(lengths, pool)
        _run(pool, sort, [(starts, *each, places, weights) for each in ranges])
    return Laid(starts, freeze(places), freeze(weights) if weighed else None)


def sort_rows(pre: Any, post: Any, inputs: int, targets: int, steps: Any, weights: Any) -> Laid:
    """As `laid_out`: by a counting sort of the inputs, then of each row."""
    _, _, sort, tally, scatter = building.kernels(REVISION)
    with ThreadPoolExecutor(_threads()) as pool:
        parts = max(1, min(pool._max_workers, len(pre) // _GRAIN))
        bounds = [len(pre) * part // parts for part in range(parts + 1)]
        ranges = list(itertools.pairwise(bounds))
        counts = [np.zeros(inputs, np.int32) for _ in ranges]

        def count_part(low: int, high: int, into: Any) -> None:
            for some in _chunks(low, high):
                tally(pre[some].astype(np.int64), into)

        _run(pool, count_part, [(*each, into) for each, into in zip(ranges, counts, strict=True)])
        lengths: Ints = np.asarray(np.sum(counts, axis=0, dtype=np.int64))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = aligned(len(pre), np.uint32)
        kept = aligned(0 if weights is None else len(pre), _wide(weights))

        def fill_part(low: int, high: int, cursors: Any) -> None:
            for some in _chunks(low, high):
                to = post[some].astype(np.int64)
                if steps is not None:
                    to += steps[some].astype(np.int64) * targets
                values = kept[:0] if weights is None else weights[some].astype(kept.dtype)
                scatter(pre[some].astype(np.int64), to, values, cursors, places, kept)

        calls, cursors = [], starts[:-1].copy()
        for each, before in zip(ranges, counts, strict=True):
            calls.append((*each, cursors))
            cursors = cursors + before
        _run(pool, fill_part, calls)
        _run(pool, sort, [(starts, *each, places, kept) for each in _ranges(lengths, pool)])
    moved = None if weights is None else freeze(kept).astype(weights.dtype, copy=False)
    return Laid(starts, freeze(places), moved)


def _chunks(low: int, high: int) -> list[slice]:
    size = 1 << 18
    return [slice(first, min(first + size, high)) for first in range(low, high, size)]


def _wide(weights: Any) -> Any:
    """The dtype that weights are moved in."""
    return np.float64 if weights is not None and weights.dtype.itemsize > 4 else np.float32


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


def _ranges(counts: Ints, pool: ThreadPoolExecutor) -> list[Span]:
    """Lines in as many ranges as threads, with about as many connections each."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    parts = max(1, min(pool._max_workers, total // _GRAIN))
    inner = np.searchsorted(ends, [total * part // parts for part in range(1, parts)]).tolist()
    bounds = [0, *inner, len(counts)]
    return list(itertools.pairwise(bounds))


def _run(pool: ThreadPoolExecutor, function: Callable[..., None], calls: Sequence[Any]) -> None:
    """Call a function with each of several sets of arguments, side by side."""
    for done in [pool.submit(function, *arguments) for arguments in calls]:
        done.result()

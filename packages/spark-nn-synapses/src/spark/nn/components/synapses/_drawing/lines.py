"""`Lines`: the connections of a block, drawn for each of its inputs or each of its targets.

A line is an input or a target, and its partners are the targets or the inputs that it is connected
with. How many they are is known beforehand; which they are is read from the stream of the line.
This is the law, in NumPy; the CPU engine draws the same, faster.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtri

from spark.nn.initializers.distributions import Inverse

from .streams import DELAYS, PARTNERS, WEIGHTS, at, below, child, uniform

Ints = np.ndarray[Any, np.dtype[np.int64]]
Span = tuple[int, int]
Window = tuple[int, int, int, int]
"""The first input and the one after the last, and the same of the targets."""

_MOST = 1 << 24
"""Entries of a table of all partners of some lines."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """Connections of a block.

    Attributes:
        along: What the lines are.
        lines: The first line and the one after the last.
        partners: The first partner and the one after the last.
        key: Seed of the block.
        counts: Partners of each line.
        distinct: Whether the partners of a line differ.
        autapses: Whether a line may have the partner of its own number.
        paired: Whether a line has the partner of its own place, and no other.
        weights: Distribution of the weights, a number for all of them, or None.
        delays: Distribution of the delays in units of the time step, of which half a step more is
            rounded down; or a number of steps for all of them.
    """

    along: Literal["inputs", "targets"]
    lines: Span
    partners: Span
    key: int
    counts: Ints
    distinct: bool = False
    autapses: bool = True
    paired: bool = False
    weights: Inverse | float | None = None
    delays: Inverse | float = 0


class Drawn(NamedTuple):
    """Connections, in the order of the lines; within a line, of the stream.

    Attributes:
        pre: Input of each.
        post: Target of each.
        steps: Delay of each in steps.
        weights: Weight of each in float64; None without.
    """

    pre: Ints
    post: Ints
    steps: Ints
    weights: np.ndarray[Any, np.dtype[np.float64]] | None


def sizes_of(lines: Span, partners: Span, autapses: bool) -> Ints:
    """How many partners each line could have."""
    own = np.arange(*lines)
    size = partners[1] - partners[0]
    return size - (_has_own(own, partners) if not autapses else np.zeros(len(own), np.int64))


def draw(block: Lines) -> Drawn:
    """Draw the connections of a block."""
    own = np.arange(*block.lines)
    owner = np.repeat(own, block.counts)
    first = np.cumsum(block.counts) - block.counts
    place = np.arange(len(owner)) - np.repeat(first, block.counts)
    if block.paired:
        found = owner - block.lines[0] + block.partners[0]
    else:
        values = _values(block, own)
        found = values + block.partners[0]
        if not block.autapses:
            found += _has_own(owner, block.partners) * (found >= owner)
    weights = None
    if isinstance(block.weights, Inverse):
        weights = _numbers(block.weights, block.key, WEIGHTS, owner, place)
    elif block.weights is not None:
        weights = np.full(len(owner), block.weights)
    if isinstance(block.delays, Inverse):
        delays = _numbers(block.delays, block.key, DELAYS, owner, place)
        steps = np.floor(delays + 0.5).astype(np.int64)
    else:
        steps = np.full(len(owner), block.delays, np.int64)
    pre, post = (owner, found) if block.along == "inputs" else (found, owner)
    return Drawn(pre, post, steps, weights)


def _has_own(lines: Ints, partners: Span) -> Ints:
    """1 for each line that has a partner of its own number, else 0."""
    return ((lines >= partners[0]) & (lines < partners[1])).astype(np.int64)


def _numbers(law: Inverse, key: int, stream: int, owner: Ints, place: Ints) -> Any:
    bits = at(at(child(key, stream), owner), place)
    return law.at(uniform(bits), ndtri, np)


def _values(block: Lines, own: Ints) -> Ints:
    """Partners by their place among those that their line could have."""
    sizes = sizes_of(block.lines, block.partners, block.autapses)
    seeds, counts = at(child(block.key, PARTNERS), own), np.asarray(block.counts)
    if not block.distinct:
        return _stream(seeds, sizes, counts)
    # Of more than half of the partners, those that are left out are fewer.
    most = 2 * counts > sizes
    fewer = np.where(most, sizes - counts, counts)
    values = np.empty(counts.sum(), np.int64)
    ends = np.cumsum(counts)
    few = _first_distinct(seeds, sizes, fewer)
    values[np.repeat(~most, counts)] = few[np.repeat(~most, fewer)]
    width = int(sizes.max(initial=1))
    left_out, starts = few, np.cumsum(fewer) - fewer
    chosen = np.flatnonzero(most)
    for some in np.split(chosen, range(0, len(chosen), max(1, _MOST // width))):
        kept = np.arange(width) < sizes[some, None]
        for row, line in enumerate(some):
            kept[row, left_out[starts[line] : starts[line] + fewer[line]]] = False
            values[ends[line] - counts[line] : ends[line]] = np.flatnonzero(kept[row])
    return values


def _stream(seeds: Any, sizes: Ints, counts: Ints) -> Ints:
    """The first values of each line."""
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return below(at(np.repeat(seeds, counts), place), np.repeat(sizes, counts))


def _first_distinct(seeds: Any, sizes: Ints, counts: Ints) -> Ints:
    """The first values of each line that differ, so many of them."""
    draws = counts + counts * counts // np.maximum(sizes, 1) + 8
    while True:
        values, owner = _stream(seeds, sizes, draws), np.repeat(np.arange(len(draws)), draws)
        order = np.lexsort((values, owner))  # stable: of equal ones the first is the first drawn
        new = np.ones(len(values), bool)
        same = (values[order][1:] == values[order][:-1]) & (owner[order][1:] == owner[order][:-1])
        new[order[1:][same]] = False
        found = np.bincount(owner[new], minlength=len(draws))
        if (found >= counts).all():
            rank = np.cumsum(new) - np.repeat(np.cumsum(found) - found, draws)
            return values[new & (rank <= np.repeat(counts, draws))]
        draws = np.where(found < counts, 2 * draws, draws)

"""The fastest way to run by size on this device, and the choice of `auto` against it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from .records import Record

GOOD_ENOUGH = 1.3
"""Largest time of the choice of `auto`, over that of the best way."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of the grid with its times.

    Attributes:
        cls: Name of the tracer class.
        steps: Length of the sequence.
        elements: Elements of the state.
        sequential: Time of the sequential way, s.
        parallel: Time of the parallel way, s.
    """

    cls: str
    steps: int
    elements: int
    sequential: float
    parallel: float

    def over_best(self, parallel: bool) -> float:
        """Time of one of the ways, over that of the best."""
        taken = self.parallel if parallel else self.sequential
        return taken / min(self.sequential, self.parallel)


@dataclasses.dataclass(frozen=True)
class Choice:
    """The times of the ways to do one piece of work.

    Attributes:
        name: Name of the work.
        times: Time of each way, s.
        auto: Time of the choice of `auto`, s.
    """

    name: str
    times: Mapping[str, float]
    auto: float

    @property
    def best(self) -> str:
        """The way that takes least time."""
        return min(self.times, key=self.times.__getitem__)

    @property
    def over_best(self) -> float:
        """Time of the choice of `auto`, over that of the best way."""
        return self.auto / self.times[self.best]


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Sizes that run in parallel: from a length on, and up to a width.

    Attributes:
        shortest: Least number of steps.
        widest: Largest number of elements.
    """

    shortest: int
    widest: int

    def __call__(self, steps: int, elements: int) -> bool:
        """Whether to run in parallel."""
        return steps >= self.shortest and elements <= self.widest


def points(records: Iterable[Record]) -> list[Point]:
    """The grid of tracers; points where a way is missing are left out."""
    return [
        Point(
            cls=group.split("/")[1],
            steps=int(ways["sequential"].sizes["steps"]),
            elements=int(ways["sequential"].sizes["elements"]),
            sequential=ways["sequential"].median,
            parallel=ways["parallel"].median,
        )
        for group, ways in _groups(records).items()
        if {"sequential", "parallel"} <= set(ways)
    ]


def choices(records: Iterable[Record], parallel: Callable[[int, int], bool]) -> list[Choice]:
    """Every point of the grids.

    Args:
        records: Results.
        parallel: Whether `auto` runs tracers in parallel, from steps and elements. Projections
            choose at run time, so that the time of `auto` is measured.
    """
    found = []
    for group, ways in _groups(records).items():
        times = {way: record.median for way, record in ways.items()}
        auto = times.pop("auto", None)
        if auto is None and len(times) == 2:
            sizes = next(iter(ways.values())).sizes
            picked = parallel(int(sizes["steps"]), int(sizes["elements"]))
            auto = times["parallel" if picked else "sequential"]
        if auto is not None and len(times) == 2:
            found.append(Choice(group.removeprefix("ways/"), times, auto))
    return found


def _groups(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.name.startswith("ways/"):
            group, way = record.name.rsplit("/", 1)
            found.setdefault(group, {})[way] = record
    return found


def worst(grid: Sequence[Point], parallel: Callable[[int, int], bool]) -> float:
    """Time of a choice over that of the best way, at the worst point of the grid."""
    return max(point.over_best(parallel(point.steps, point.elements)) for point in grid)


def fit(grid: Sequence[Point]) -> Thresholds | None:
    """The thresholds whose worst point is best; None if no thresholds beat the sequential way.

    Raises:
        ValueError: If the grid is empty.
    """
    if not grid:
        raise ValueError("nothing of the grid was measured; its cases have the tag 'ways'.")
    best, least = None, worst(grid, lambda steps, elements: False)
    lengths = sorted({point.steps for point in grid})
    widths = sorted({point.elements for point in grid})
    for shortest, widest in itertools.product(lengths, widths):
        candidate = Thresholds(shortest, widest)
        if (found := worst(grid, candidate)) < least:
            best, least = candidate, found
    return best


def as_entry(platform: str, thresholds: Thresholds | None) -> str:
    """The line for the table in `spark.core.tracers._scan`."""
    if thresholds is None:
        return f"# {platform}: the sequential scan wins at every length and width measured."
    return f'"{platform}": ({thresholds.shortest}, {thresholds.widest}),'

"""Results as tables of text, made once for the command line, the report and the documentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .case import Case, Counts
from .choose import GOOD_ENOUGH, Choice, Point
from .compare import Ratio, ratio
from .conform.suite import Checked, Verdict
from .environment import Environment
from .floors import Limits, limits_in
from .records import Record, with_references


class Cell(NamedTuple):
    """A text, and its mark: `"good"`, `"bad"`, `"worst"`, `"dim"` or none."""

    text: str
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: Title.
        columns: Head of each column.
        rows: Cells of each row.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]

    def without(self, *columns: str) -> Table:
        """The table without some of its columns."""
        kept = [number for number, name in enumerate(self.columns) if name not in columns]
        rows = [[row[number] for number in kept] for row in self.rows]
        return Table(self.title, tuple(self.columns[number] for number in kept), rows)

    def markdown(self) -> str:
        """The table in Markdown, the bad in bold."""
        rows = [
            [f"**{text}**" if mark == "bad" else text for text, mark in row] for row in self.rows
        ]
        lines = [self.columns, ["---"] * len(self.columns), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(*texts: str, mark: str = "") -> list[Cell]:
    return [Cell(text, mark) for text in texts]


def seconds(value: float) -> str:
    """A duration with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def amount(value: float) -> str:
    """A count with three digits and the letter of a power of 1000; nothing for 0."""
    for suffix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}" if value else ""


def number(value: float) -> str:
    """A number with three digits, or with all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _spread(record: Record) -> str:
    return f"{100 * record.spread:.0f} %"


def cases(found: Iterable[Case]) -> Table:
    """The work of one call of each case."""
    columns = ("case", "quick", "devices", "updates", "events", "bytes", "FLOP", "tags")
    rows = []
    for case in found:
        counted = [amount(count) for count in _counted(case.counts)]
        quick, tags = "yes" if case.quick else "", " ".join(case.tags)
        rows.append(_row(case.name, quick, str(case.devices), *counted, tags))
    return Table("One call of each case counts", columns, rows)


def kinds(found: Iterable[Case]) -> Table:
    """How many cases there are of each kind of work, which their names begin with."""
    members: dict[str, list[Case]] = {}
    for case in found:
        members.setdefault(case.name.split("/")[0], []).append(case)
    rows = [
        _row(f"{kind}/*", str(len(each)), str(sum(case.quick for case in each)), each[0].name)
        for kind, each in members.items()
    ]
    return Table("Cases", ("kind", "cases", "quick", "such as"), rows)


def _counted(counts: Counts) -> tuple[int, int, int, int]:
    return counts.element_updates, counts.synaptic_events, counts.bytes_moved, counts.flop


def times(records: Iterable[Record]) -> Table:
    """Medians and spread of all but limits, each case against its reference and its floor."""
    records = list(records)
    limits, rows = limits_in(records), []
    for record, reference in with_references(records):
        if record.name.startswith("limits/"):
            continue
        first, observed = record.first_call, record.observed.items()
        rows.append(
            _row(
                record.name,
                seconds(record.median),
                _spread(record),
                "" if first is None else seconds(first),
                amount(float(record.metadata.get("peak_bytes", 0))),
                _against(record, reference),
                _over_floor(record, limits),
                ", ".join(f"{name.replace('_', ' ')} {amount(x) or 0}" for name, x in observed),
            )
        )
    columns = ("case", "median", "spread", "first call", "peak bytes", "/ reference", "/ floor")
    return Table("Time of one call", (*columns, "also"), rows)


def _against(record: Record, reference: Record | None) -> str:
    """The ratio to the reference, with its confidence interval."""
    if reference is None or reference is record:
        return "" if reference is None else "reference"
    found = ratio(record.processes, reference.processes)
    return f"{found.value:.3g}x ({found.low:.3g} - {found.high:.3g})"


def _over_floor(record: Record, limits: Limits | None) -> str:
    if limits is None or not any(_counted(record.counts)):
        return ""
    return f"{record.median / limits.floor(record.counts):.1f}x"


def programs(records: Iterable[Record], prefix: str) -> Table:
    """The programs of each row of cases with a prefix, and their gain over the reference."""
    rows = []
    for record, reference in with_references(records):
        if record.name.startswith(f"{prefix}/") and reference is not None:
            row, program = record.name.removeprefix(f"{prefix}/").rsplit("/", 1)
            gain = f"{reference.median / record.median:.2f}"
            first = record is reference
            cells = row if first else "", program, seconds(record.median), "" if first else gain
            rows.append(_row(*cells))
    return Table("Programs", ("row", "program", "one call", "reference over it"), rows)


def scaling(records: Iterable[Record]) -> Table:
    """Synapses sharded over devices, each case beside one device."""
    rows = []
    every = [record for record in records if record.name.startswith("scaling/")]
    for record, one in with_references(every):
        assert one is not None
        inputs, targets, devices = (record.sizes[name] for name in ("pre", "elements", "devices"))
        cells = f"{devices:.0f}", f"{inputs:.0f} x {targets:.0f}", seconds(record.median)
        name, over = record.group.removeprefix("scaling/"), record.median / one.median
        received = record.observed.get("received_bytes")
        crosses = "" if received is None else f"{received:,.0f}"
        rows.append(_row(name, *cells, _spread(record), f"{over:.2f}", crosses))
    columns = ("scaling", "devices", "synapses", "one call", "spread", "over one device", "bytes")
    return Table("Scaling", columns, rows)


def rates(records: Iterable[Record]) -> Table:
    """Limits of a machine."""
    rows = []
    for record in records:
        if record.name.startswith("limits/"):
            counts = record.counts
            unit = "GB/s" if counts.bytes_moved else "GFLOP/s"
            rate = (counts.bytes_moved or counts.flop) / record.median / 1e9
            name = record.name.removeprefix("limits/")
            rows.append(_row(name, seconds(record.median), f"{rate:.1f} {unit}" if rate else ""))
    return Table("Limits of this machine, through JAX", ("limit", "median", "rate"), rows)


def ratios(found: Mapping[str, Ratio], above: float | None) -> Table:
    """Ratios of two files, marked where the confidence interval excludes 1."""
    marks = {"faster": "good", "slower": "bad", "same": ""}
    rows = []
    for name, each in found.items():
        exceeds = above is not None and each.exceeds(above)
        interval = f"{each.low:.2f} - {each.high:.2f}"
        mark = "worst" if exceeds else marks[each.verdict]
        rows.append(_row(name, f"{each.value:.2f}x", interval, each.verdict, mark=mark))
    columns = ("case", "new / old", "95 % interval", "")
    return Table("Time of one call, new over old", columns, rows)


def values(environments: Iterable[Environment]) -> dict[str, list[str]]:
    """Each value that occurs in some environments, by name; of dates the first and the last."""
    found: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            found.setdefault(name, {})[str(value)] = None
    if dates := sorted(found.get("date", ())):
        found["date"] = dict.fromkeys((dates[0], dates[-1]))
    return {name: list(each) for name, each in found.items()}


def environment(environments: Iterable[Environment]) -> Table:
    """Names and values."""
    rows = [_row(name, ", ".join(each)) for name, each in values(environments).items()]
    return Table("Environment", ("name", "value"), rows)


def peers(records: Iterable[Record]) -> Table:
    """Peers by work, those in dim whose output differs."""
    columns = ("work", "peer", "library", "output", "ms / 1000 steps", "spread", "/ ours")
    rows = []
    for record, ours in with_references(records):
        if not record.name.startswith("peers/"):
            continue
        metadata = record.metadata
        agrees = metadata["agrees"] == "yes"
        rows.append(
            _row(
                record.group.removeprefix("peers/"),
                str(metadata["peer"]),
                str(metadata["peer_title"]),
                "agrees" if agrees else f"differs by {metadata['error']:.1g}",
                number(1e6 * record.median / record.sizes["steps"]),
                _spread(record),
                "" if ours is None else f"{record.median / ours.median:.2f}x",
                mark="" if agrees else "dim",
            )
        )
    return Table("Peers", columns, rows)


def conformance(found: Sequence[Checked]) -> Table:
    """Facts by implementation: the error where there is one."""
    rows = []
    for fact, first in found[0].verdicts.items() if found else ():
        cells = [_verdict(each.verdicts[fact]) for each in found]
        rows.append([Cell(fact), Cell(f"{first.tolerance:g}"), *cells])
    return Table("Conformance", ("fact", "tolerance", *[each.name for each in found]), rows)


def _verdict(verdict: Verdict) -> Cell:
    """The error, or why there is none."""
    mark = {"holds": "good", "not offered": "dim"}.get(verdict.outcome, "bad")
    if verdict.error is None:
        return Cell("-" if verdict.outcome == "not offered" else verdict.outcome, mark)
    return Cell("not finite" if verdict.error >= 1e300 else f"{verdict.error:.1e}", mark)


def implementations(found: Iterable[Checked]) -> list[str]:
    """A sentence for each implementation: its versions, and where it follows another law."""
    lines = []
    for each in found:
        versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
        law = f" Another law: {each.convention}." if each.convention else ""
        lines.append(f"{each.title}: {versions}.{law}")
    return lines


def choices(found: Iterable[Choice]) -> Table:
    """The ways at every point of the grids, the fastest first, and `auto` against it."""
    rows = []
    for choice in found:
        (best, least), (other, most) = sorted(choice.times.items(), key=lambda item: item[1])
        mark = "bad" if choice.over_best > GOOD_ENOUGH else ""
        cells = choice.name, best, seconds(least), other, seconds(most), f"{choice.over_best:.2f}x"
        rows.append(_row(*cells, mark=mark))
    columns = ("work", "wins", "takes", "the other", "takes", "auto / best")
    return Table("Ways to run", columns, rows)


def ways(grid: Sequence[Point]) -> Table:
    """Time of the parallel scan over that of the sequential one, by class and size."""
    sizes = sorted({(point.steps, point.elements) for point in grid})
    measured = {
        (point.cls, point.steps, point.elements): f"{point.parallel / point.sequential:.2f}"
        for point in grid
    }
    classes = list(dict.fromkeys(point.cls for point in grid))
    rows = [
        _row(f"{size[0]} x {size[1]:,}", *[measured.get((cls, *size), "-") for cls in classes])
        for size in sizes
    ]
    columns = ("steps x elements", *classes)
    return Table("Parallel over sequential", columns, rows)

"""What the commands print: Rich tables, and numbers with units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from .case import Case, Counts
from .choose import GOOD_ENOUGH, Choice
from .compare import Ratio, ratio
from .conform.suite import Conformance, Verdict
from .environment import Environment
from .floors import Limits, limits_in
from .records import Record

COLOURS = {"faster": "green", "slower": "red", "same": "default"}


def seconds(value: float) -> str:
    """A duration with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def amount(value: float) -> str:
    """A count with three digits and a power of ten in words; nothing for 0."""
    for suffix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}" if value else ""


def case_table(cases: Iterable[Case]) -> Table:
    """Cases with what one call of each counts."""
    table = Table(
        *("case", "quick", "devices", *_COUNTED, "tags"), title="One call of each case counts"
    )
    for case in cases:
        counts = [amount(count) for count in _counted(case.counts)]
        quick, devices = "yes" if case.quick else "", str(case.devices)
        table.add_row(case.name, quick, devices, *counts, " ".join(case.tags))
    return table


_COUNTED = ("updates", "events", "bytes", "FLOP")


def _counted(counts: Counts) -> tuple[int, int, int, int]:
    return counts.element_updates, counts.synaptic_events, counts.bytes_moved, counts.flop


def record_table(records: Mapping[str, Record]) -> Table:
    """Medians, spread, and each case against its reference and its floor."""
    limits = limits_in(records.values())
    references = {r.group: r for r in records.values() if r.is_reference}
    table = Table(
        *("case", "median", "spread", "first call", "/ reference", "/ floor", "also"),
        title="Time of one call",
    )
    for record in records.values():
        if record.name.startswith("limits/"):
            continue
        reference = references.get(record.group)
        against = "" if reference is None else _against(record, reference)
        table.add_row(
            record.name,
            seconds(record.median),
            f"{100 * record.spread:.0f} %",
            "" if record.first_call is None else seconds(record.first_call),
            against,
            "" if limits is None else floor_ratio(record, limits),
            observed_text(record),
        )
    return table


def observed_text(record: Record) -> str:
    """What else a case was asked for, in words."""
    return ", ".join(
        f"{name.replace('_', ' ')} {amount(value) or 0}" for name, value in record.observed.items()
    )


def _against(record: Record, reference: Record) -> str:
    if record.is_reference:
        return "reference"
    return ratio_text(ratio(record.processes, reference.processes))


def ratio_text(found: Ratio) -> str:
    """A ratio with its confidence interval."""
    return f"{found.value:.3g}x ({found.low:.3g} - {found.high:.3g})"


def floor_ratio(record: Record, limits: Limits) -> str:
    """How many times the floor a case takes; nothing where it counts nothing."""
    if not any(_counted(record.counts)):
        return ""
    return f"{record.median / limits.floor(record.counts):.1f}x"


def limit_table(records: Mapping[str, Record]) -> Table:
    """What this machine can do."""
    table = Table("limit", "median", "rate", title="Limits of this machine, through JAX")
    for record in records.values():
        if not record.name.startswith("limits/"):
            continue
        counts, rate = record.counts, ""
        if counts.bytes_moved:
            rate = f"{counts.bytes_moved / record.median / 1e9:.1f} GB/s"
        elif counts.flop:
            rate = f"{counts.flop / record.median / 1e9:.1f} GFLOP/s"
        table.add_row(record.name.removeprefix("limits/"), seconds(record.median), rate)
    return table


def ratio_table(ratios: Mapping[str, Ratio], above: float | None) -> Table:
    """Ratios, coloured by what is sure; those above the bound in bold."""
    table = Table("case", "new / old", "95 % interval", "", title="Time of one call, new over old")
    for name, found in ratios.items():
        style = COLOURS[found.verdict]
        if above is not None and found.exceeds(above):
            style = f"bold {style}"
        table.add_row(
            name,
            f"{found.value:.2f}x",
            f"{found.low:.2f} - {found.high:.2f}",
            found.verdict,
            style=style,
        )
    return table


def environment_table(environment: Environment) -> Table:
    """Names and values."""
    table = Table("what", "here", title="Environment")
    for name, value in environment.items():
        table.add_row(name, str(value))
    return table


def contest_table(records: Mapping[str, Record]) -> Table:
    """Peers by job: whether outputs agree, time for 1000 steps, and against ours."""
    table = Table("work", "peer", "output", "ms / 1000 steps", "spread", "/ ours", title="Peers")
    ours = {r.group: r for r in records.values() if r.is_reference}
    for record in records.values():
        metadata, steps = record.metadata, record.sizes["steps"]
        agrees = metadata["agrees"] == "yes"
        reference = ours.get(record.group)
        against = "" if reference is None else f"{record.median / reference.median:.2f}x"
        table.add_row(
            record.group.removeprefix("peers/"),
            str(metadata["peer"]),
            "agrees" if agrees else f"differs by {metadata['error']:.1g}",
            f"{1e6 * record.median / steps:.3g}",
            f"{100 * record.spread:.0f} %",
            against,
            style="default" if agrees else "dim",
        )
    return table


VERDICTS = {"holds": "green", "fails": "red", "not offered": "dim", "broken": "red"}


def conformance_table(conformance: Conformance) -> Table:
    """Facts by implementations: the error where there is one."""
    found = conformance.implementations
    table = Table("fact", "tolerance", *[each.name for each in found], title="Conformance")
    for fact in found[0].verdicts if found else ():
        verdicts = [each.verdicts[fact] for each in found]
        cells = [f"[{VERDICTS[verdict.outcome]}]{verdict_text(verdict)}[/]" for verdict in verdicts]
        table.add_row(fact, f"{verdicts[0].tolerance:g}", *cells)
    return table


def verdict_text(verdict: Verdict) -> str:
    """The error, or why there is none."""
    if verdict.error is None:
        return {"not offered": "-"}.get(verdict.outcome, verdict.outcome)
    if verdict.error >= 1e300:
        return "not finite"
    return f"{verdict.error:.1e}"


def choice_table(choices: Iterable[Choice]) -> Table:
    """The ways at every point of the grids, the fastest first, and how far `auto` is from it."""
    table = Table("what", "wins", "takes", "the other", "takes", "auto / best", title="Ways to run")
    for choice in choices:
        (best, least), (other, most) = sorted(choice.times.items(), key=lambda item: item[1])
        far = choice.over_best > GOOD_ENOUGH
        table.add_row(
            choice.name,
            *(best, seconds(least), other, seconds(most)),
            f"{choice.over_best:.2f}x",
            style="red" if far else "default",
        )
    return table

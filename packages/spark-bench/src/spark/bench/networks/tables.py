"""Runs of networks as tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from ..summaries import Cell, Table, amount, number
from .record import Record

STATISTICS = {"rate": "spikes per s", "cv": "CV of intervals", "synchrony": "synchrony"}
"""Statistics of a population, and the heads of their columns."""


def populations(records: Sequence[Record]) -> Table:
    """Statistics of each population, one column for each simulator.

    Args:
        records: Runs of one network, the first of which says what is published.
    """
    first = records[0]
    several = len(records) > 1
    heads = [
        f"{head}, {each['simulator']}" if several else head
        for head in STATISTICS.values()
        for each in records
    ]
    rows = []
    for place, population in enumerate(first["populations"]):
        found = [each["populations"][place][name] for name in STATISTICS for each in records]
        known = population["published_rate"]
        texts = [
            population["name"],
            f"{population['neurons']:,}",
            "-" if known is None else f"{known:.2f}",
            *["-" if value is None else f"{value:.2f}" for value in found],
        ]
        rows.append([Cell(text) for text in texts])
    title = f"{first['network']}, {first['seconds']:g} s"
    return Table(title, ("population", "neurons", "published", *heads), rows)


def costs(records: Sequence[Record]) -> Table:
    """What each run took.

    Args:
        records: Runs.
    """
    rows = []
    for each in records:
        peak, held, events = each["peak_bytes"], each.get("bytes"), each.get("events_per_s")
        texts = [
            each["simulator"],
            amount(each["connections"]),
            f"{each['build_s']:.1f}",
            f"{each['run_s']:.2f}",
            number(each["real_time_factor"]),
            "-" if events is None else amount(events),
            "-" if held is None else f"{held / 1e9:.2f}",
            "-" if peak is None else f"{peak / 1e9:.2f}",
        ]
        rows.append([Cell(text) for text in texts])
    heads = ("simulator", "synapses", "build, s", "run, s", "real-time factor", "events per s")
    table = Table("costs", (*heads, "synapses, GB", "peak, GB"), rows)
    unknown = [
        head
        for head, *cells in zip(table.columns, *rows, strict=True)
        if all(cell.text == "-" for cell in cells)
    ]
    return table.without(*unknown)

"""Runs of networks as tables of text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ..summaries import Cell, Table, amount, number
from .record import Record, by_simulator

STATISTICS = {"rate": "spikes per s", "cv": "CV of intervals", "synchrony": "synchrony"}
"""Statistics of a population, and the heads of their columns."""


def populations(records: Sequence[Record]) -> Table:
    """Statistics of each population, one column for each simulator.

    Those of several seeds are shown as their mean and standard deviation.

    Args:
        records: Runs of one network, the first of which says what is published.
    """
    first, simulators = records[0], by_simulator(records)
    heads = [
        f"{head}, {simulator}" if len(simulators) > 1 else head
        for head in STATISTICS.values()
        for simulator in simulators
    ]
    rows = []
    for place, population in enumerate(first["populations"]):
        known = population["published_rate"]
        texts = [
            population["name"],
            f"{population['neurons']:,}",
            "-" if known is None else f"{known:.2f}",
            *[
                spread([each["populations"][place][name] for each in seeds])
                for name in STATISTICS
                for seeds in simulators.values()
            ],
        ]
        rows.append([Cell(text) for text in texts])
    several = max(map(len, simulators.values()))
    title = f"{first['network']}, {first['seconds']:g} s"
    title += f", {several} seeds" if several > 1 else ""
    return Table(title, ("population", "neurons", "published", *heads), rows)


def spread(seeds: Sequence[float | None]) -> str:
    """Mean and standard deviation over seeds as text, or the value of the only one.

    Args:
        seeds: Values, or None where there is none.
    """
    known = [each for each in seeds if each is not None]
    if len(known) < 2:
        return f"{known[0]:.2f}" if known else "-"
    return f"{statistics.fmean(known):.2f} +- {statistics.stdev(known):.2f}"


def costs(records: Sequence[Record]) -> Table:
    """What a run of each simulator took: of several seeds, the median.

    Args:
        records: Runs.
    """
    rows = []
    for simulator, seeds in by_simulator(records).items():
        peak, held, events = (
            median(seeds, name) for name in ("peak_bytes", "bytes", "events_per_s")
        )
        texts = [
            simulator,
            amount(seeds[0]["connections"]),
            f"{median(seeds, 'build_s'):.1f}",
            f"{median(seeds, 'run_s'):.2f}",
            number(median(seeds, "real_time_factor")),
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


def median(seeds: Sequence[Record], name: str) -> Any:
    """The median of an entry of several runs; None if it is known of none.

    Args:
        seeds: Runs.
        name: Name of the entry.
    """
    known = [each[name] for each in seeds if each.get(name) is not None]
    return statistics.median(known) if known else None

"""Figures: time against size and activity, over the floor, and peers side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..floors import limits_in
from ..records import Record
from ..summaries import number, seconds

# Okabe and Ito (2008): told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"

Lines: TypeAlias = dict[str, list[tuple[float, float]]]
"""Points of each line, by label."""


def figures(records: Mapping[str, Record], columns: int = 3) -> dict[str, tuple[str, Figure]]:
    """Every figure that the results allow, with its caption, by name.

    Args:
        records: Results, by name.
        columns: Largest number of panels side by side.
    """
    makers: dict[str, tuple[str, Callable[[Sequence[Record], int], Figure | None]]] = {
        "time-against-size": (
            "Time per element and step against the number of elements; panels by class and dtype.",
            _against_size,
        ),
        "time-against-activity": (
            "Time per step against the part of the inputs that spike in it.",
            _against_activity,
        ),
        "time-over-floor": (
            "Time over the floor: bytes over bandwidth, FLOP over the rate of a matrix product, or "
            "the dispatches, whichever takes longest. 1 cannot be beaten.",
            _over_floor,
        ),
        "peers": (
            "Time of 1000 steps, the same work and inputs, in turns. Hollow: the output differs. "
            "Dotted: the floor.",
            _peers,
        ),
    }
    if limits_in(list(records.values())) is None:
        caption, make = makers["peers"]
        makers["peers"] = caption.removesuffix(" Dotted: the floor."), make
    found = {}
    for name, (caption, make) in makers.items():
        figure = make(list(records.values()), columns)
        if figure is not None:
            found[name] = (caption, figure)
    return found


def _against_size(records: Sequence[Record], columns: int) -> Figure | None:
    panels: dict[str, Lines] = {}
    for record in records:
        if not record.name.startswith("scan/") or record.sizes["batch"] != 1:
            continue
        _, cls, dtype, _, way = record.name.split("/")
        time = record.median / record.counts.element_updates
        lines = panels.setdefault(f"{cls}, {dtype}", {})
        lines.setdefault(way, []).append((record.sizes["elements"], time))
    return _lines(panels, columns, "elements", "time per element and step")


def _against_activity(records: Sequence[Record], columns: int) -> Figure | None:
    panels: dict[str, Lines] = {}
    for record in records:
        if "activity" not in record.sizes:
            continue
        where, program = record.name.split("/activity=")[0].rsplit("/", 1)
        time = record.median / record.sizes.get("steps", 1)
        lines = panels.setdefault(where.partition("/")[2].replace("/", ", "), {})
        lines.setdefault(program, []).append((100 * record.sizes["activity"], time))
    return _lines(panels, columns, "inputs that spike in a step, %", "time per step")


def _over_floor(records: Sequence[Record], columns: int) -> Figure | None:
    limits = limits_in(records)
    if limits is None:
        return None
    cases = [
        r
        for r in records
        if r.name.split("/")[0] not in ("limits", "first-call", "peers", "ways")
        and r.counts.element_updates
    ]
    if not cases:
        return None
    figure = Figure(figsize=(8, 0.9 + 0.19 * len(cases)), layout="constrained")
    ax = figure.subplots()
    values = [record.median / limits.floor(record.counts) for record in cases]
    places = range(len(cases), 0, -1)
    _dots(ax, places, values)
    for place, value in zip(places, values, strict=True):
        ax.annotate(
            f"{value:.1f}", (value, place), (6, 0), textcoords="offset points", va="center", size=7
        )
    ax.axvline(1, color="black", linewidth=1)
    ax.set_yticks(places, [record.name for record in cases], size=7)
    ax.set(xscale="log", xlabel="time over the floor", ylim=(0.2, len(cases) + 0.8))
    ax.margins(x=0.1)
    return figure


def _peers(records: Sequence[Record], columns: int) -> Figure | None:
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.group.startswith("peers/"):
            groups.setdefault(record.group.removeprefix("peers/"), []).append(record)
    if not groups:
        return None
    limits = limits_in(records)
    most = max(map(len, groups.values()))
    figure, axes = _panels(len(groups), columns, width=4.2, height=max(3.0, 0.8 + 0.27 * most))
    for ax, (title, members) in zip(axes, groups.items(), strict=True):
        members = sorted(members, key=lambda record: record.median)
        for place, record in zip(range(len(members), 0, -1), members, strict=True):
            time = 1e6 * record.median / record.sizes["steps"]
            agrees = record.metadata["agrees"] == "yes"
            colour = COLOURS[1] if record.is_reference else COLOURS[0]
            _dots(ax, [place], [time], colour, hollow=not agrees)
            ax.annotate(
                number(time),
                (time, place),
                (6, 0),
                textcoords="offset points",
                va="center",
                size=7,
            )
        titles = [textwrap.fill(str(r.metadata["peer_title"]), 24) for r in members]
        ax.set_yticks(range(len(members), 0, -1), titles, size=7)
        ax.set_ylim(0.3, len(members) + 0.7)
        if limits is not None:
            # One program runs all steps.
            floor = limits.floor(members[0].counts) / members[0].sizes["steps"]
            ax.axvline(1e6 * floor, color="black", linewidth=1, linestyle=":")
        ax.set(xlabel="ms per 1000 steps", xscale="log")
        ax.set_title(title, size=9)
        times = [1e6 * record.median / record.sizes["steps"] for record in members]
        # A few labels, however many decades there are.
        subs = (1,) if max(times) > 30 * min(times) else (1, 2, 5)
        ax.xaxis.set_major_locator(LogLocator(subs=subs))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.25)
    return figure


def _dots(
    ax: Axes,
    places: Sequence[int],
    values: Sequence[float],
    colour: str = COLOURS[0],
    hollow: bool = False,
) -> None:
    """A dot on a line of each value: a bar would begin at 0, which a logarithmic axis has not."""
    for place in places:
        ax.axhline(place, color="0.85", linewidth=0.6, zorder=0)
    face = "none" if hollow else colour
    ax.plot(values, places, "o", color=colour, markerfacecolor=face, markersize=6)


def _panels(
    count: int, columns: int, width: float = 3.6, height: float = 3.0
) -> tuple[Figure, list[Axes]]:
    """Panels in rows."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _lines(panels: Mapping[str, Lines], columns: int, xlabel: str, ylabel: str) -> Figure | None:
    """Panels of lines; one label looks the same in all of them."""
    # A line needs two points.
    panels = {title: lines for title, lines in panels.items() if max(map(len, lines.values())) > 1}
    if not panels:
        return None
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    figure, axes = _panels(len(panels), columns)
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for label, points in lines.items():
            xs, ys = zip(*sorted(points), strict=True)
            look = labels.index(label) % len(COLOURS)
            ax.plot(
                *(xs, ys),
                label=label,
                color=COLOURS[look],
                marker=MARKERS[look],
                markersize=4,
                linewidth=1.2,
            )
        ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.25)
        ax.legend(fontsize=7, frameon=False)
    return figure

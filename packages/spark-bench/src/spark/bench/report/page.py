"""One self-contained HTML page of results, and its figures as files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..__about__ import __version__
from ..compare import ratio
from ..conform.suite import Conformance
from ..floors import limits_in
from ..records import COUNT, OBSERVED, SIZE, Record
from ..tables import amount, floor_ratio, observed_text, seconds, verdict_text
from .figures import figures

# What differs from case to case is no part of the environment.
_OF_A_CASE = {
    *("name", "unit", "suite", "group", "reference", "tags", "loops", "load_avg_1min"),
    *("first_call_s", "compile_s", "mem_max_rss", "peak_bytes", "device_peak_bytes"),
    *("peer", "peer_title", "error", "agrees"),
}


def write_report(
    folder: Path, records: Mapping[str, Record], conformance: Conformance | None = None
) -> list[Path]:
    """Write `index.html` and every figure as PNG and SVG.

    Args:
        folder: Where to; made if need be.
        records: Results, by name.
        conformance: A table to show beside them.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, drawn = [], []
    # Text stays text; ids are the same in every run, so that a file changes only with its data.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "spark-bench", "font.size": 9}):
        for name, (caption, figure) in figures(records).items():
            for suffix in ("png", "svg"):
                path = folder / f"{name}.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else {}
                figure.savefig(path, dpi=200, metadata=metadata)
                written.append(path)
            drawn.append({"name": name, "caption": caption, "svg": _inline(figure)})
    page = folder / "index.html"
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    page.write_text(
        template.get_template("page.html").render(
            version=__version__,
            environment=_environment(records, conformance),
            figures=drawn,
            cases=_cases(records),
            limits=_limits(records),
            peers=_peers(records),
            conformance=conformance,
            verdict_text=verdict_text,
        )
    )
    return [page, *written]


def _inline(figure: Figure) -> Markup:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    # Without the XML declaration and the doctype.
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])


def _environment(
    records: Mapping[str, Record], conformance: Conformance | None
) -> dict[str, list[str]]:
    """What all results share, and where they differ, each value that occurs."""
    sources = [record.metadata for record in records.values()]
    if conformance is not None:
        sources.append(conformance.environment)
    found: dict[str, list[str]] = {}
    for source in sources:
        for name, value in source.items():
            if name in _OF_A_CASE or name.startswith((COUNT, SIZE, OBSERVED)):
                continue
            values = found.setdefault(name, [])
            if str(value) not in values:
                values.append(str(value))
    if "date" in found:
        found["date"] = sorted({found["date"][0], found["date"][-1]})
    return found


def _cases(records: Mapping[str, Record]) -> list[dict[str, str]]:
    limits = limits_in(records.values())
    references = {r.group: r for r in records.values() if r.is_reference}
    rows = []
    for record in records.values():
        if record.name.startswith(("limits/", "peers/")):
            continue
        reference = references.get(record.group)
        against = ""
        if reference is not None and reference is not record:
            found = ratio(record.processes, reference.processes)
            against = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        rows.append(
            {
                "name": record.name,
                "median": seconds(record.median),
                "spread": f"{100 * record.spread:.0f} %",
                "first_call": "" if record.first_call is None else seconds(record.first_call),
                "peak": amount(float(record.metadata.get("peak_bytes", 0))),
                "reference": against,
                "floor": "" if limits is None else floor_ratio(record, limits),
                "also": observed_text(record),
            }
        )
    return rows


def _limits(records: Mapping[str, Record]) -> list[dict[str, str]]:
    rows = []
    for record in records.values():
        if record.name.startswith("limits/"):
            counts = record.counts
            work, unit = (
                (counts.bytes_moved, "GB/s") if counts.bytes_moved else (counts.flop, "GFLOP/s")
            )
            rate = f"{work / record.median / 1e9:.1f} {unit}" if work else ""
            name = record.name.removeprefix("limits/")
            rows.append({"name": name, "median": seconds(record.median), "rate": rate})
    return rows


def _peers(records: Mapping[str, Record]) -> list[dict[str, str]]:
    rows = []
    for record in records.values():
        if record.name.startswith("peers/"):
            metadata = record.metadata
            rows.append(
                {
                    "job": record.group.removeprefix("peers/"),
                    "peer": str(metadata["peer_title"]),
                    "output": "agrees"
                    if metadata["agrees"] == "yes"
                    else f"differs by {metadata['error']:.1g}",
                    "time": f"{1e6 * record.median / record.sizes['steps']:.3g}",
                    "spread": f"{100 * record.spread:.0f} %",
                }
            )
    return rows

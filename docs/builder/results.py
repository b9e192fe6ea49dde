"""Tables and figures of benchmark results, for pages to print."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from drawing import GREY, STYLE, as_html, axes
from matplotlib.ticker import NullFormatter

from spark.bench.choose import points
from spark.bench.conform.suite import Checked, Conformance
from spark.bench.records import Record, read
from spark.bench.report.figures import figures
from spark.bench.tables import seconds, verdict_text

FOLDER = Path("docs/benchmarks")
"""What `spark-bench` wrote with `--json`."""


def records(name: str) -> dict[str, Record]:
    """Results by name of the case."""
    return read(FOLDER / f"{name}.json")


def conformance(name: str) -> Conformance:
    """Facts by implementation."""
    return Conformance.read(FOLDER / f"{name}.json")


def figure(found: dict[str, Record], name: str, alt: str) -> str:
    """One of the figures that `spark-bench report` draws, in the colours of the page."""
    plt.rcParams.update(STYLE)
    caption, drawn = figures(found, columns=2)[name]
    return as_html(drawn, alt, caption)


def source(found: dict[str, Record]) -> str:
    """Machine, versions and date of some results, in a sentence."""
    about = [record.metadata for record in found.values()]

    def values(name: str) -> str:
        return ", ".join(dict.fromkeys(str(each[name]) for each in about if name in each))

    days = sorted({str(each["date"])[:10] for each in about})
    device = "" if values("device_platform") in ("", "cpu") else f"{values('device')}, "
    return (
        f"{device}{values('cpu_count')} cores of an {values('cpu_model_name')}, "
        f"jax {values('jax_version')}, flax {values('flax_version')}, "
        f"Python {values('python_version')}, {' to '.join(days)}."
    )


def peers(found: dict[str, Record]) -> str:
    """The work by peers, ms for 1000 steps, ours first; in brackets where outputs differ."""
    jobs: dict[str, dict[str, str]] = {}
    order: dict[str, None] = {}
    for record in found.values():
        if not record.name.startswith("peers/"):
            continue
        title = str(record.metadata["peer_title"])
        time = 1e6 * record.median / record.sizes["steps"]
        shown = f"{time:,.0f}" if time >= 1000 else f"{time:.3g}"
        agrees = record.metadata["agrees"] == "yes"
        job = jobs.setdefault(record.group.removeprefix("peers/"), {})
        job[title] = shown if agrees else f"({shown})"
        order[title] = None
    rows = [[title, *[job.get(title, "") for job in jobs.values()]] for title in order]
    return table(["ms per 1000 steps", *[job.replace("/batch=1", "") for job in jobs]], rows)


def facts(found: Conformance) -> str:
    """Facts by implementation: the largest error, and whether it is small enough."""
    marks = {"holds": "{}", "fails": "**{}**", "broken": "**{}**", "not offered": "{}"}
    shown = [each for each in found.implementations if offered(each) > 1]
    names = [each.name for each in shown]
    rows = []
    for fact, first in shown[0].verdicts.items():
        verdicts = [each.verdicts[fact] for each in shown]
        cells = [marks[each.outcome].format(verdict_text(each)) for each in verdicts]
        rows.append([fact, f"{first.tolerance:g}", *cells])
    return table(["fact", "tolerance", *names], rows)


def about(found: Conformance) -> str:
    """Versions of each implementation, and where it follows another law."""
    lines = []
    for each in found.implementations:
        if offered(each) > 1:
            versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
            law = f". Another law: {each.convention}." if each.convention else "."
            lines.append(f"- {each.title}: {versions}{law}")
    return "\n".join(lines)


def offered(found: Checked) -> int:
    """How many facts an implementation can be asked for."""
    return sum(each.outcome != "not offered" for each in found.verdicts.values())


def budget(found: dict[str, Record], prefix: str = "budget") -> str:
    """Each program beside the reference of its row; by default what synapses promise to cost."""
    references = {each.group: each for each in found.values() if each.is_reference}
    rows = []
    for record in found.values():
        if not record.name.startswith(f"{prefix}/"):
            continue
        reference = references[record.group]
        times = "" if record is reference else f"{reference.median / record.median:.2f}"
        row, program = record.name.removeprefix(f"{prefix}/").rsplit("/", 1)
        rows.append([row if record is reference else "", program, seconds(record.median), times])
    return table(["row", "program", "one call", "reference over it"], rows)


def scaling(found: dict[str, Record]) -> str:
    """Synapses cut over devices: each case beside one device."""
    references = {each.group: each for each in found.values() if each.is_reference}
    rows = []
    for record in found.values():
        spread = f"{100 * record.spread:.0f} %"
        over = record.median / references[record.group].median
        synapses = f"{record.sizes['pre']:.0f} x {record.sizes['elements']:.0f}"
        row = [record.group.removeprefix("scaling/"), f"{record.sizes['devices']:.0f}", synapses]
        rows.append([*row, seconds(record.median), spread, f"{over:.2f}"])
    return table(["scaling", "devices", "synapses", "one call", "spread", "over one device"], rows)


def ways(found: dict[str, Record]) -> str:
    """How many times as long as the sequential scan the parallel one takes, by length and width."""
    drawn, panels = axes(1, 3, height=2.8, sharey=True)
    for panel, cls in zip(panels, ("Tracer", "SaturableTracer", "RUTracer"), strict=True):
        grid = [point for point in points(found.values()) if point.cls == cls]
        for elements in sorted({point.elements for point in grid}):
            line = sorted(
                (p.steps, p.parallel / p.sequential) for p in grid if p.elements == elements
            )
            panel.plot(*zip(*line, strict=True), "o-", markersize=3.5, label=f"{elements:,}")
        panel.axhline(1, color=GREY, linewidth=0.8)
        panel.set(xscale="log", yscale="log", xlabel="steps", title=cls)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("parallel over sequential")
    panels[-1].legend(title="elements", fontsize=8, title_fontsize=8)
    return as_html(
        drawn,
        "The parallel scan takes longer than the sequential one at every length and width",
        "Time of the parallel scan over the sequential one; above 1 the sequential one wins.",
    )


def ratios(found: dict[str, Record]) -> str:
    """How many times as long as the sequential scan the parallel one takes; by class and size."""
    grid = points(found.values())
    sizes = sorted({(point.steps, point.elements) for point in grid})
    measured = {
        (point.cls, point.steps, point.elements): f"{point.parallel / point.sequential:.2f}"
        for point in grid
    }
    rows = [
        [cls, *[measured.get((cls, *size), "-") for size in sizes]]
        for cls in dict.fromkeys(point.cls for point in grid)
    ]
    return table(["", *[f"{steps} x {elements:,}" for steps, elements in sizes]], rows)


def dispatch(found: dict[str, Record]) -> str:
    """How long a call takes that does nothing."""
    return seconds(found["limits/dispatch"].median)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

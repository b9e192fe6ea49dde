"""One self-contained HTML page of results, and its figures as files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from .. import summaries
from ..__about__ import __version__
from ..conform.suite import Conformance
from ..records import Record, environment_in
from .figures import figures

TEXT = {"", "name", "value", "case", "limit", "work", "peer", "library", "output", "fact", "also"}
"""Columns that are set to the left; the others hold numbers."""


def write_report(
    folder: Path, records: Mapping[str, Record], conformance: Conformance | None = None
) -> list[Path]:
    """Write `index.html` and every figure as PNG and SVG.

    Args:
        folder: Folder to write to; made if need be.
        records: Results, by name.
        conformance: Facts to show beside them.

    Returns:
        The files.
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
    found = list(records.values())
    sources = [record.metadata for record in found]
    sources += [conformance.environment] if conformance else []
    implementations = conformance.implementations if conformance else []
    page.write_text(
        template.get_template("page.html").render(
            version=__version__,
            text=TEXT,
            figures=drawn,
            environment=summaries.environment(map(environment_in, sources)),
            peers=summaries.peers(found),
            facts=summaries.conformance(implementations),
            implementations=summaries.implementations(implementations),
            missing=conformance.missing if conformance else {},
            limits=summaries.rates(found),
            cases=summaries.times(each for each in found if not each.name.startswith("peers/")),
        )
    )
    return [page, *written]


def _inline(figure: Figure) -> Markup:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    # Without the XML declaration and the doctype.
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])

"""Figures of the site: drawn while it is built, as SVG in the colours of the page."""

from __future__ import annotations

import html
import io
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#4a90d9", "#e07b39", "#2fa37c", "#a06cd5"
"""Legible on white and on dark alike."""

INK = "#010203"
"""Stands for the colour of the text around a figure."""

GREY = "#8a8a8a"

LEAST = 1.1
"""Pixels for a point at least: on a telephone a figure scrolls, and its words stay legible."""

STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, PURPLE]),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def axes(rows: int = 1, columns: int = 1, height: float = 2.6, **options):
    """A figure of the width of a page, and its axes."""
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(7.2, height), **options)


def as_html(figure: Figure, alt: str, caption: str = "") -> str:
    """A figure as HTML, for a page to print.

    Args:
        figure: What was drawn; it is closed.
        alt: What it shows, in words.
        caption: What stands under it.
    """
    plt.rcParams["svg.hashsalt"] = alt  # ids of its own, the same in every build
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(["Date"]))
    least = round(LEAST * 72 * figure.get_figwidth())
    plt.close(figure)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # A rule of matplotlib's for every element: on the figure, not on the page.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    label = html.escape(alt)
    options = f'role="img" aria-label="{label}" stroke-linejoin="round"'
    svg = svg.replace("<svg", f'<svg {options} style="min-width: {least}px"', 1)
    svg = re.sub(r"\n\s*", "\n", svg)
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="plot" data-search-exclude>{svg.strip()}{words}</figure>'

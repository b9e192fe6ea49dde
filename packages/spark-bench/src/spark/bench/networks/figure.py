"""A picture of a run: its raster, and how rates and intervals are distributed."""

from __future__ import annotations

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report.figures import COLOURS
from .network import Network
from .spikes import Spikes
from .statistics import TRANSIENT, coefficients_of_variation, rates

SHOWN = 200.0
"""Time that the raster shows, ms: the last."""

ROWS = 4000
"""Neurons that the raster shows, of all populations in proportion."""


def picture(network: Network, spikes: Spikes, known: dict[str, float]) -> Figure:
    """The picture.

    Args:
        network: What was run.
        spikes: Its spikes.
        known: Published rates of populations, drawn beside; may be empty.
    """
    made = Figure(figsize=(9, 5.2), layout="constrained")
    grid = made.add_gridspec(2, 2, width_ratios=[1.5, 1])
    _raster(made.add_subplot(grid[:, 0]), network, spikes)
    above, below = (made.add_subplot(grid[row, 1]) for row in range(2))
    after = min(TRANSIENT, spikes.steps * spikes.dt / 2)
    parts = {name: spikes.of(each, after) for name, each in network.ranges.items()}
    _boxes(above, network, [rates(each) for each in parts.values()])
    if known:
        places = [i for i, name in enumerate(parts, 1) if name in known]
        values = [known[name] for name in parts if name in known]
        above.plot(places, values, "D", color=_ink(), markersize=4, label="published mean")
    above.legend(fontsize=7, frameon=False, handlelength=1)
    above.set(ylabel="spikes per second", ylim=(0, None))
    _boxes(below, network, [coefficients_of_variation(each) for each in parts.values()])
    below.set(ylabel="CV of intervals", ylim=(0, None))
    return made


def _colour(excitatory: bool) -> str:
    return COLOURS[0] if excitatory else COLOURS[1]


def _ink() -> str:
    return str(rcParams["text.color"])


def _raster(ax: Axes, network: Network, spikes: Spikes) -> None:
    end = spikes.steps * spikes.dt
    begin = max(0.0, end - SHOWN)
    every = max(1, network.size // ROWS)
    top, ticks = 0, []
    for population in network.populations:
        part = spikes.of(network.ranges[population.name], begin)
        shown = part.neuron % every == 0
        rows = top + part.neuron[shown] // every
        colour = _colour(population.excitatory)
        ax.plot(begin + part.times[shown], rows, ".", color=colour, markersize=1.6)
        height = -(-population.size // every)
        ticks.append(top + height / 2)
        top += height
    ax.set_yticks(ticks, [each.name for each in network.populations])
    ax.set(xlabel="time (ms)", xlim=(begin, end), ylim=(top, 0))
    some = "" if every == 1 else f", one neuron in {every} shown"
    ax.set_title(f"{network.name}: {network.size:,} neurons{some}", size=10)


def _boxes(ax: Axes, network: Network, values: list[np.ndarray]) -> None:
    """Quartiles (box), 5 to 95 % (whiskers), median and mean of the neurons of each population."""
    names = [each.name for each in network.populations]
    drawn = ax.boxplot(
        values, whis=(5, 95), showfliers=False, showmeans=True, patch_artist=True, widths=0.6
    )
    for box, population in zip(drawn["boxes"], network.populations, strict=True):
        box.set(facecolor=_colour(population.excitatory), alpha=0.5)
    for line in drawn["medians"]:
        line.set(color=_ink(), linewidth=1.5)
    for mean in drawn["means"]:
        mean.set(marker="o", markerfacecolor="white", markeredgecolor=_ink(), markersize=4)
    drawn["medians"][0].set_label("median")
    drawn["means"][0].set_label("mean")
    ax.set_xticks(range(1, len(names) + 1), names, size=8)

"""The figures of the demo."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from decoding import TIME_CONSTANTS, Reconstruction, Traces
from recording import DT, Recording

BLUE, ORANGE, GREY, GREEN = "#0072b2", "#d55e00", "#707070", "#009e73"

plt.style.use("default")
plt.rcParams.update(
    {
        "figure.dpi": 150,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.2,
    }
)


def raster_and_traces(recording: Recording, traces: Traces, path: Path) -> None:
    """Stimulus, spikes, and traces at three time constants, over 300 ms."""
    window = slice(round(1000 / DT), round(1300 / DT))
    t = recording.times[window] / 1000
    figure, axes = plt.subplots(
        4, 1, figsize=(7, 5), sharex=True, height_ratios=[1.2, 0.35, 1.2, 1.2]
    )
    axes[0].plot(t, recording.stimulus[window], color=GREY)
    axes[0].set_ylabel("stimulus (s.d.)")
    axes[1].vlines(t[recording.spikes[window]], 0, 1, color="black", linewidth=0.8)
    axes[1].set(yticks=[], ylabel="spikes")
    for axis, values, name in (
        (axes[2], traces.single, "Tracer"),
        (axes[3], traces.double, "DoubleTracer"),
    ):
        for tau, color in ((2, BLUE), (10, ORANGE), (50, GREEN)):
            index = np.abs(TIME_CONSTANTS - tau).argmin()
            axis.plot(
                t, values[window, index], color=color, label=f"{TIME_CONSTANTS[index]:.1f} ms"
            )
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[2].legend(title="time constant", loc="upper left", bbox_to_anchor=(1, 1))
    axes[3].set_xlabel("time (s)")
    figure.suptitle(
        f"Spikes of a grasshopper auditory receptor and their traces ({recording.name})"
    )
    figure.savefig(path)
    plt.close(figure)


def reconstructions(found: dict[str, list[Reconstruction]], path: Path) -> None:
    """Stimulus against reconstruction, on 150 ms that were not fitted; a row per recording."""
    figure, axes = plt.subplots(len(found), 1, figsize=(7, 4.6), squeeze=False)
    for axis, (name, rows) in zip(axes[:, 0], found.items(), strict=True):
        for i, (row, color) in enumerate(zip(rows, (BLUE, ORANGE), strict=True)):
            shown = (row.times >= 8000) & (row.times < 8150)
            t = row.times[shown] / 1000
            if i == 0:
                axis.plot(t, row.target[shown], color=GREY, label="stimulus")
            label = f"{row.method}, r = {row.correlation:.2f}"
            axis.plot(t, row.values[shown], color=color, label=label)
        axis.set(ylabel="stimulus (s.d.)", title=f"cut-off {name}")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes[-1, 0].set_xlabel("time (s)")
    figure.suptitle("The stimulus, read from spikes it was not fitted on")
    figure.savefig(path)
    plt.close(figure)


def plasticity_along_the_train(
    recording: Recording,
    found: dict[str, np.ndarray],
    currents: dict[str, np.ndarray],
    path: Path,
) -> None:
    """Efficacy of each spike of the first second, and what it depends on; and the currents."""
    times = recording.times[recording.spikes]
    intervals = np.diff(times)
    figure, axes = plt.subplot_mosaic(
        [["along", "against"], ["driven", "against"]], figsize=(8, 4.6), width_ratios=[2, 1]
    )
    along, against, driven = axes["along"], axes["against"], axes["driven"]
    against.sharey(along)
    driven.sharex(along)
    for (name, values), color in zip(found.items(), (BLUE, ORANGE), strict=True):
        shown = times < 1000
        along.plot(times[shown] / 1000, values[shown], ".-", color=color, linewidth=0.6, label=name)
        against.plot(intervals, values[1:], ".", color=color, markersize=2, alpha=0.6)
    first = recording.times < 1000
    for (name, values), color in zip(currents.items(), (BLUE, ORANGE), strict=True):
        driven.plot(
            recording.times[first] / 1000, values[first], color=color, linewidth=0.8, label=name
        )
    along.set(ylabel="efficacy U R", yscale="log")
    along.legend(loc="upper right", ncols=2)
    driven.set(xlabel="time (s)", ylabel="current / weight")
    against.set(xlabel="interval before the spike (ms)", xscale="log")
    against.set_xticks([5, 10, 20, 40], labels=["5", "10", "20", "40"])
    against.minorticks_off()
    figure.suptitle(f"Short-term plasticity along the recorded train ({recording.name})")
    figure.savefig(path)
    plt.close(figure)

"""The main job on recorded spikes: traces of a real train, and what they tell of its stimulus.

Then a network at work: a tenth of the cortical microcircuit, for a second.

Run by `nox -s demo`; `python docs/demo/run.py --help` for its one option.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import decoding
import figures
import jax
import numpy as np
import recording
from rich.console import Console
from rich.progress import track
from rich.table import Table

import spark.core.tracers
import spark.nn.components.synapses
from spark.bench import networks


def main() -> None:
    """Decode both recordings, run the network, print three tables, and write four figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the figures")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    console = Console()
    console.print(
        f"spark-core-tracers {spark.core.tracers.__version__}, "
        f"spark-nn-synapses {spark.nn.components.synapses.__version__}, "
        f"jax {jax.__version__}, {jax.devices()[0].platform}"
    )

    decoded = Table(title="Stimulus read from the spikes, on the part that was not fitted")
    for column in (
        "recording",
        "spikes",
        "method",
        "waits, ms",
        "correlation",
        "explained",
    ):
        decoded.add_column(
            column, justify="right" if column not in ("recording", "method") else "left"
        )
    timing = Table(title="Traces over 10 s of recording")
    for column in ("recording", "steps", "traces", "first run, ms", "later run, ms"):
        timing.add_column(column, justify="right")

    shown = {}
    for number in track(recording.CUT_OFF, description="recordings", console=console):
        spikes = recording.load(number)
        traces = decoding.trace(spikes)
        both = np.concatenate([traces.single, traces.double], axis=1)
        rows = [
            decoding.read_out(spikes, "single traces", traces.single),
            decoding.read_out(spikes, "double traces", traces.double),
            decoding.read_out(spikes, "all traces", both),
            decoding.wiener(spikes),
        ]
        for row in rows:
            decoded.add_row(
                spikes.name,
                str(len(spikes.spike_times)),
                row.method,
                f"{row.delay:g}",
                f"{row.correlation:.3f}",
                f"{row.explained_variance:.3f}",
            )
        decoded.add_section()
        timing.add_row(
            spikes.name,
            f"{len(spikes.spikes)}",
            f"{both.shape[1]}",
            f"{traces.first_ms:.0f}",
            f"{traces.later_ms:.0f}",
        )
        shown[spikes.name] = [rows[2], rows[3]]
        if number == 1:
            figures.raster_and_traces(spikes, traces, output / "raster-and-traces.png")
            currents, error = decoding.plastic_currents(spikes)
            figures.plasticity_along_the_train(
                spikes, decoding.efficacies(spikes), currents, output / "plasticity.png"
            )
    figures.reconstructions(shown, output / "reconstruction.png")

    console.print(decoded)
    console.print(timing)
    console.print(
        "Each method sees all spikes up to the time that it waits after the stimulus it estimates."
    )
    console.print(
        f"Currents through plastic synapses differ by {error:.1e} of the largest from the "
        "published equations, solved in float64 from spike to spike."
    )
    run_network(console, output / "microcircuit.png")
    for path in sorted(output.glob("*.png")):
        console.print(f"wrote {path}")


def run_network(console: Console, path: Path) -> None:
    """Run a tenth of the microcircuit of Potjans and Diesmann (2014) for a second, and draw it."""
    network = networks.microcircuit(scale=0.1)
    with console.status("a network of 7 717 neurons"):
        run = networks.simulate(network, seconds=1.0)
    table = Table(title="A tenth of the cortical microcircuit, one second")
    for column in ("population", "neurons", "spikes per second", "published, full scale"):
        table.add_column(column, justify="left" if column == "population" else "right")
    known = networks.published(network)
    for name, found in networks.statistics(run.spikes, network.ranges).items():
        neurons = len(network.ranges[name])
        table.add_row(name, f"{neurons}", f"{found.rate:.2f}", f"{known[name]:.2f}")
    networks.picture(network, run.spikes, known).savefig(path, dpi=150)
    console.print(table)
    console.print(
        f"{run.connections / 1e6:.1f} million synapses, each with a weight and a delay: "
        f"built in {run.build:.1f} s, compiled in {run.compile:.1f} s, run in {run.run:.1f} s."
    )


if __name__ == "__main__":
    main()

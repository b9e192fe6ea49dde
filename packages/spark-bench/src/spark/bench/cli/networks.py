"""The command `network`: a network that the field knows, at any scale."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .frame import Where, app, guarded, out, progress, require_file, show

if TYPE_CHECKING:
    from ..networks.record import Record


class External(enum.StrEnum):
    """External input of the microcircuit."""

    poisson = "poisson"
    current = "current"


class Dtype(enum.StrEnum):
    """Dtypes of weights."""

    float16 = "float16"
    float32 = "float32"


@app.command()
def network(
    name: Annotated[
        str,
        typer.Argument(
            help="microcircuit, brunel-SR, brunel-SI-fast, brunel-AI, brunel-SI-slow, cuba or coba."
        ),
    ],
    scale: Annotated[float, typer.Option(help="Part of the full size.")] = 1.0,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="For how long to run, in the time of the network.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    external: Annotated[
        External, typer.Option(help="External input: spikes, or their mean as a current.")
    ] = External.poisson,
    weights: Annotated[Dtype, typer.Option(help="Dtype of the weights.")] = Dtype.float32,
    backend: Where = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the results there.", dir_okay=False)
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw a raster and distributions there, PNG or SVG.", dir_okay=False),
    ] = None,
) -> None:
    """Run a network, and print the statistics of its populations and what the run cost.

    At full scale the microcircuit of Potjans and Diesmann (2014) has 77 169 neurons and 299 million
    synapses.

    Example: `spark-bench network microcircuit --scale 0.1 --seconds 10 --figure raster.png`
    """
    from ..backends import use

    use(backend and backend.value)
    from ..networks import catalog, simulate
    from ..networks.record import record, write

    with guarded(json):
        for path in (json, figure):
            require_file(path, False)
        described = catalog.named(name, scale, external.value)
        with progress() as bar:
            task = bar.add_task("", total=1.0)

            def on_progress(stage: str, part: float) -> None:
                bar.update(task, description=f"{described.name}: {stage}", completed=part)

            run = simulate(
                described,
                seconds,
                seed,
                kernel_dtype=weights.value,
                on_progress=on_progress,
            )
    found = record(
        described, run, seed, scale=scale, external=external.value, weights=weights.value
    )
    _show(found)
    if json is not None:
        write(json, [found])
    if figure is not None:
        from ..networks.figure import picture

        drawn = picture(described, run.spikes, catalog.published(described))
        drawn.savefig(figure, dpi=150)
        out.print(f"wrote {figure}", highlight=False)


def _show(found: Record) -> None:
    """Print statistics and costs."""
    from ..networks import tables

    show(tables.populations([found]))
    show(tables.costs([found]))

"""The command `network`: a network that the field knows, at any scale."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .frame import (
    ExitCode,
    Where,
    app,
    err,
    guarded,
    out,
    progress,
    require_file,
    require_picture,
    show,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..networks import Network
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
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of runs, with seeds counted up from --seed; tables then show mean and "
            "standard deviation.",
        ),
    ] = 1,
    external: Annotated[
        External, typer.Option(help="External input: spikes, or their mean as a current.")
    ] = External.poisson,
    weights: Annotated[Dtype, typer.Option(help="Dtype of the weights.")] = Dtype.float32,
    plasticity: Annotated[
        bool,
        typer.Option("--plasticity", help="Let connections depress; rested ones are unchanged."),
    ] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices that share the synapses; of a CPU, virtual ones.")
    ] = 1,
    python: Annotated[
        list[str] | None,
        typer.Option(
            "--python",
            help="Run it in another simulator too, nest=PATH or brian2=PATH: a Python that has it.",
        ),
    ] = None,
    backend: Where = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the results there.", dir_okay=False)
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw a raster and distributions of the first seed there, PNG or SVG.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Run a network, and print the statistics of its populations and what the run cost.

    At full scale the microcircuit of Potjans and Diesmann (2014) has 77 169 neurons and 299 million
    synapses. With `--python` the same network is run in other simulators: with one thread or all,
    whichever is faster. Exits with 1 if a rate, on average over the seeds, differs from theirs by
    more than 10 % (30 % in networks of fewer than 5 000 neurons) and 0.2 spikes per second; with 3
    if a simulator fails.

    Example: `spark-bench network microcircuit --scale 0.1 --seconds 10 --figure raster.png`
    """
    from ..backends import use

    use(backend and backend.value, devices)
    from ..networks import catalog, simulate, tables
    from ..networks.beside import python_of
    from ..networks.record import record, write

    found: list[Record] = []

    def keep(each: Record) -> None:
        found.append(each)
        if json is not None:
            write(json, found)

    with guarded(json), progress() as bar:
        require_file(json, False)
        require_picture(figure)
        others = dict(map(python_of, python or []))
        if len(others) < len(python or []):
            raise ValueError("--python must name each simulator once.")
        described = catalog.named(name, scale, external.value, plasticity)
        asked = {"scale": scale, "external": external.value, "plasticity": plasticity}
        own = {"weights": weights.value, "devices": devices}
        first, given = None, range(seed, seed + seeds)
        for number in given:
            said = f"{described.name}, seed {number}" if seeds > 1 else described.name
            run = simulate(
                described,
                seconds,
                number,
                kernel_dtype=weights.value,
                on_progress=_shown(bar, said),
                devices=devices,
            )
            keep(record(described, run, number, **asked, **own))
            first = run if first is None else first
        missing = _run_beside(bar, described, seconds, given, others, asked, keep)
    show(tables.populations(found))
    show(tables.costs(found))
    for each in found:
        if (silent := each["silent_from_ms"]) is not None:
            told = f"{each['simulator']}, seed {each['seed']}: silent from {silent:.1f} ms on"
            err.print(f"{told}; with another --seed it may not be.", markup=False, highlight=False)
    if figure is not None:
        from ..networks.figure import picture

        assert first is not None
        drawn = picture(described, first.spikes, catalog.published(described))
        drawn.savefig(figure, dpi=150)
        out.print(f"wrote {figure}", highlight=False)
    if _differing(described, found):
        raise typer.Exit(ExitCode.FAILED)
    if missing:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _shown(bar: Progress, said: str) -> Callable[[str, float], None]:
    """What shows on a bar the stage of a run, and which part of it is done."""
    task = bar.add_task(said, total=1.0)
    return lambda stage, part: bar.update(task, description=f"{said}: {stage}", completed=part)


def _run_beside(
    bar: Progress,
    described: Network,
    seconds: float,
    seeds: range,
    pythons: dict[str, str],
    asked: dict[str, Any],
    keep: Callable[[Record], None],
) -> int:
    """Run other simulators and keep their records; how many failed."""
    from ..environment import environment
    from ..networks.beside import fastest_beside
    from ..networks.record import record

    cores, missing = int(environment()["cpu_count"]), 0
    for simulator, python in pythons.items():
        said = f"{described.name}, {simulator}"
        task = bar.add_task(said, total=None if len(seeds) == 1 else len(seeds))
        runs = fastest_beside(simulator, python, described, seconds, seeds, cores)
        try:
            for number, run in zip(seeds, runs, strict=True):
                keep(record(described, run, number, **asked))
                bar.advance(task)
        except ValueError as error:
            err.print(f"skipped {error}", markup=False, highlight=False)
            missing += 1
        bar.update(task, total=len(seeds), completed=len(seeds))
    return missing


def _differing(described: Network, found: list[Record]) -> int:
    """How many rates differ from those of another simulator; says which."""
    from ..networks.beside import differences
    from ..networks.record import by_simulator, mean_rates

    (_, ours), *others = by_simulator(found).items()
    count = 0
    for simulator, runs in others:
        for name in differences(described, mean_rates(ours), mean_rates(runs)):
            err.print(f"[red]the rate of {name} differs from that in {simulator}[/red]")
            count += 1
    return count

"""The command `network`: a network that the field knows, at any scale."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .frame import ExitCode, Where, app, err, guarded, out, progress, require_file, show

if TYPE_CHECKING:
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
        int, typer.Option(min=1, help="Runs, from --seed on; the tables then give mean and spread.")
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
        typer.Option(help="Draw a raster and distributions there, PNG or SVG.", dir_okay=False),
    ] = None,
) -> None:
    """Run a network, and print the statistics of its populations and what the run cost.

    At full scale the microcircuit of Potjans and Diesmann (2014) has 77 169 neurons and 299 million
    synapses. With `--python` the same network is run in other simulators: the fastest of one thread
    and all. Exits with 1 if a rate, on average over the seeds, differs from theirs by more than
    10 %, or of fewer than 5 000 neurons by more than 30 %; with 3 if one fails.

    Example: `spark-bench network microcircuit --scale 0.1 --seconds 10 --figure raster.png`
    """
    from ..backends import use

    use(backend and backend.value, devices)
    from ..networks import catalog, simulate, tables
    from ..networks.record import record, write

    with guarded(json):
        for path in (json, figure):
            require_file(path, False)
        described = catalog.named(name, scale, external.value, plasticity)
        given, runs = range(seed, seed + seeds), []
        with progress() as bar:
            for number in given:
                said = f"{described.name}, seed {number}" if seeds > 1 else described.name
                task = bar.add_task("", total=1.0)

                def on_progress(
                    stage: str, part: float, task: Any = task, said: str = said
                ) -> None:
                    bar.update(task, description=f"{said}: {stage}", completed=part)

                run = simulate(
                    described,
                    seconds,
                    number,
                    kernel_dtype=weights.value,
                    on_progress=on_progress,
                    devices=devices,
                )
                runs.append(run)
    asked = {"scale": scale, "external": external.value, "plasticity": plasticity}
    own = {"weights": weights.value, "devices": devices}
    found = [
        record(described, run, number, **asked, **own)
        for number, run in zip(given, runs, strict=True)
    ]
    missing, differing = _run_beside(described, seconds, given, python or [], asked, found)
    show(tables.populations(found))
    show(tables.costs(found))
    for each in found:
        if (silent := each["silent_from_ms"]) is not None:
            told = f"{each['simulator']}, seed {each['seed']}: silent from {silent:.1f} ms on"
            err.print(f"{told}; with another --seed it may not be.", markup=False, highlight=False)
    if json is not None:
        write(json, found)
    if figure is not None:
        from ..networks.figure import picture

        drawn = picture(described, runs[0].spikes, catalog.published(described))
        drawn.savefig(figure, dpi=150)
        out.print(f"wrote {figure}", highlight=False)
    if differing:
        raise typer.Exit(ExitCode.FAILED)
    if missing:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _run_beside(
    described: Network,
    seconds: float,
    seeds: range,
    pythons: list[str],
    asked: dict[str, Any],
    found: list[Record],
) -> tuple[int, int]:
    """Run other simulators and add their records; how many failed, and how many rates differ."""
    from ..environment import environment
    from ..networks.beside import SIMULATORS, differences, fastest_beside
    from ..networks.record import mean_rates, record

    cores = int(environment()["cpu_count"])
    missing = differing = 0
    ours = mean_rates(found)
    for each in pythons:
        simulator, equals, path = each.partition("=")
        with guarded():
            if not equals or simulator not in SIMULATORS:
                names = " or ".join(f"{name}=PATH" for name in sorted(SIMULATORS))
                raise ValueError(f"--python must be {names}, got {each!r}.")
        try:
            runs = fastest_beside(simulator, path, described, seconds, seeds, cores)
        except ValueError as error:
            err.print(f"skipped {error}", markup=False, highlight=False)
            missing += 1
            continue
        theirs = [
            record(described, run, seed, **asked) for seed, run in zip(seeds, runs, strict=True)
        ]
        found += theirs
        for name in differences(described, ours, mean_rates(theirs)):
            version = runs[0].version
            err.print(f"[red]the rate of {name} differs from that in {version}[/red]")
            differing += 1
    return missing, differing

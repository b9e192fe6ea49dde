"""The command `spark-bench`: arguments in, tables and files out; the work is done elsewhere."""

from __future__ import annotations

import contextlib
import enum
import functools
import json as json_module
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .__about__ import __version__

if TYPE_CHECKING:
    from .case import Case
    from .peers.process import PeerProcess
    from .run import Outcome


class ExitCode(enum.IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


class Suite(enum.StrEnum):
    """Which cases, and how often."""

    quick = "quick"
    full = "full"


class Backend(enum.StrEnum):
    """Where to run."""

    cpu = "cpu"
    gpu = "gpu"


app = typer.Typer(
    name="spark-bench",
    help=(
        "How fast and how exact synaptic traces are on this machine, and against other "
        "libraries.\n\nExit codes: 0 done; 1 a comparison or a conformance check failed; "
        "2 wrong usage; 3 some of the work could not be done, the rest was; 130 interrupted, what "
        "was measured is kept."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(width=None if os.isatty(1) else 160)
err = Console(stderr=True)

Patterns = Annotated[
    list[str] | None,
    typer.Option("--case", help="Name with * and ?, or a tag; may be given several times."),
]
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="Keep cases of this dtype; may be given several times."),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Write results there, as pyperf's JSON.", dir_okay=False),
]
Where = Annotated[
    Backend | None,
    typer.Option("--backend", help="Where to run; by default what JAX takes by itself."),
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peer", help="Adapter to take; may be given several times. Default: all."),
]
Pythons = Annotated[
    list[str] | None,
    typer.Option("--python", help="Python of a peer, as peer=path; may be given several times."),
]


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """A `ValueError` of the package is a mistake in what was asked for."""
    try:
        yield
    except ValueError as error:
        err.print(f"[red]Error:[/red] {error}")
        raise typer.Exit(ExitCode.USAGE) from None


def _version(show: bool) -> None:
    if show:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_cases(
    suite: Annotated[Suite, typer.Option(help="Which cases.")] = Suite.full,
    case: Patterns = None,
    dtype: Dtypes = None,
) -> None:
    """List cases, with what one call of each counts.

    Example: `spark-bench list --case 'scan/RUTracer/*'`
    """
    from .registry import select
    from .tables import case_table

    with usage():
        cases = select(suite.value, case or [], dtype or [])
    out.print(case_table(cases))
    out.print(f"{len(cases)} cases")


@app.command()
def run(
    suite: Annotated[Suite, typer.Option(help="Which cases, and how often.")] = Suite.quick,
    case: Patterns = None,
    dtype: Dtypes = None,
    backend: Where = None,
    json: Json = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what the file holds; measure the rest.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Values per case and process; by default those of the suite."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes per case; by default those of the suite."),
    ] = None,
    limits: Annotated[
        bool, typer.Option(help="Measure the limits of the machine too, for the floors.")
    ] = True,
) -> None:
    """Measure cases, and each against its reference and its floor.

    Every group of cases is timed in processes of its own: first call apart, warm-up discarded, in
    turns. The file is complete after each group, so that a run can be stopped and resumed.

    Example: `spark-bench run --suite quick --json out.json`
    """
    from .registry import select
    from .tables import limit_table, record_table

    with usage():
        cases = select(suite.value, case or [], dtype or [])
        if limits:
            cases = list({each.name: each for each in select(patterns=["limits"]) + cases}.values())
    outcome = _measure(cases, suite, backend, json, resume, rounds, processes)
    if limits:
        out.print(limit_table(outcome.records))
    out.print(record_table(outcome.records))
    _finish(outcome)


@app.command()
def limits(backend: Where = None, json: Json = None) -> None:
    """Measure what this machine can do, through JAX: bandwidth, matrix products, dispatch.

    Example: `spark-bench limits --json limits.json`
    """
    from .registry import select
    from .tables import limit_table

    outcome = _measure(select(patterns=["limits"]), Suite.quick, backend, json)
    out.print(limit_table(outcome.records))
    _finish(outcome)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results to compare with.")],
    new: Annotated[Path, typer.Argument(help="Results.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            help="Exit with 1 if a case takes more than so many times as long, and the interval "
            "lies above 1."
        ),
    ] = None,
) -> None:
    """Compare two files of results: ratio of medians, with its 95 % confidence interval.

    Example: `spark-bench compare old.json new.json --fail-above 1.2`
    """
    from .compare import compare as compare_records
    from .records import read
    from .tables import ratio_table

    with usage():
        ratios = compare_records(read(new), read(old))
    out.print(ratio_table(ratios, fail_above))
    if fail_above is None:
        return
    above = [name for name, found in ratios.items() if found.exceeds(fail_above)]
    if above:
        err.print(f"[red]{len(above)} of {len(ratios)} cases take more than {fail_above:g}x.[/red]")
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def environment(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what is recorded beside every number: machine, device, versions, revision.

    Example: `spark-bench environment --json`
    """
    from .environment import environment as here
    from .tables import environment_table

    found = here()
    if json:
        print(json_module.dumps(found, indent=2))
    else:
        out.print(environment_table(found))


@app.command()
def conform(
    peer: Peers = None,
    python: Pythons = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="File of an adapter of your own; may be given several times."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON.")] = None,
) -> None:
    """Check implementations against facts that follow from the equations.

    References are in float64, written from the equations. Without `--peer` or `--adapter`, every
    adapter that can be imported is checked. Exits with 1 if Spark, or an adapter of yours, fails.

    Example: `spark-bench conform --adapter mine.py`
    """
    from .conform.facts import facts
    from .conform.suite import Conformance, check
    from .environment import environment as here
    from .peers.contest import OURS, start
    from .tables import conformance_table

    names = peer or ([] if adapter else None)
    with usage(), contextlib.ExitStack() as stack, _progress() as bar:
        chosen, open_peer = _peers(names, python, adapter)
        found, missing = start(chosen, open_peer, stack)
        task = bar.add_task("", total=len(found) * len(facts()))

        def show(implementation: str, fact: str) -> None:
            bar.update(task, description=f"{implementation}: {fact}", advance=1)

        table = Conformance(environment=here(), implementations=[], missing=missing)
        for each in found:
            table.implementations.append(check(each, facts(), functools.partial(show, each.name)))
            if json is not None:
                table.write(json)
    out.print(conformance_table(table))
    _report_missing(missing)
    own = {OURS, *[path.stem for path in adapter or []]}
    failed = {each.name for each in table.implementations if each.failed}
    if own & (failed | set(missing)):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def peers(
    peer: Peers = None,
    python: Pythons = None,
    suite: Annotated[Suite, typer.Option(help="Which work.")] = Suite.quick,
    job: Annotated[
        list[str] | None, typer.Option(help="Name of the work with * and ?, whatever its suite.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each peer.")] = 5,
    json: Json = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what the file holds; do the rest.")
    ] = False,
) -> None:
    """Give other libraries the same work: outputs are compared first, then times, in turns.

    Each peer runs in a process, with the Python of an environment of its own if `--python` names
    one: `nox -s peers` makes them. What is missing or broken is reported and skipped.

    Example: `spark-bench peers --python brainpy=envs/brainpy/bin/python --json peers.json`
    """
    from .environment import environment as here
    from .peers.contest import OURS, contest, start
    from .peers.jobs import select_jobs
    from .records import as_record, load, write
    from .tables import contest_table

    with usage(), contextlib.ExitStack() as stack, _progress() as bar:
        work = select_jobs(suite.value, job or [])
        done = {b.get_name(): b for b in load(json)} if resume and json and json.exists() else {}
        names = [OURS, *[name for name in peer if name != OURS]] if peer else None
        chosen, open_peer = _peers(names, python, None)
        found, missing = start(chosen, open_peer, stack)
        entries = []
        task = bar.add_task("", total=len(work) * len(found))
        for each in work:
            if any(name.startswith(f"peers/{each.name}/") for name in done):
                continue

            def show(name: str, job: str = each.name) -> None:
                bar.update(task, description=f"{job}: {name}", advance=1)

            entries += contest(each, found, rounds, 0.1, here(), show)
            fresh = [entry.benchmark for entry in entries if entry.benchmark is not None]
            done |= {benchmark.get_name(): benchmark for benchmark in fresh}
            if json is not None and done:
                write(json, done.values())
    out.print(contest_table({name: as_record(each) for name, each in done.items()}))
    failed = {f"{e.peer} at {e.job}": e.failure for e in entries if e.failure is not None}
    _report_missing(missing | failed)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Files of results.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path(
        "report"
    ),
    conformance: Annotated[
        Path | None, typer.Option(help="A table of `conform --json` to show beside them.")
    ] = None,
) -> None:
    """Write one self-contained HTML page with plots, and each figure as PNG and SVG.

    Example: `spark-bench report results.json peers.json -o report/`
    """
    from .conform.suite import Conformance
    from .records import read
    from .report import write_report

    with usage():
        found = {name: record for path in results for name, record in read(path).items()}
        table = None if conformance is None else Conformance.read(conformance)
    for path in write_report(output, found, table):
        out.print(str(path), highlight=False)


@app.command()
def choose(
    backend: Where = None,
    json: Json = None,
    results: Annotated[
        Path | None, typer.Option("--from", help="Take these results instead of measuring.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what the file holds; measure the rest.")
    ] = False,
) -> None:
    """Measure the ways to run over a grid, and print which wins where on this device.

    Exits with 1 if what `method="auto"` picks takes more than 1.3 times as long as the best way
    somewhere on the grid. The thresholds printed go into `spark.core.tracers.ways`.

    Example: `spark-bench choose --backend gpu --json ways.json`
    """
    from .processes import BACKENDS
    from .records import read
    from .registry import select
    from .tables import choice_table

    if backend is not None:
        # What `auto` goes by is the backend of the process that asks, this one.
        os.environ["JAX_PLATFORMS"] = BACKENDS[backend.value]
    failed = None
    if results is None:
        failed = _measure(select(patterns=["ways"]), Suite.quick, backend, json, resume)
        found = failed.records
    else:
        with usage():
            found = read(results)
    from spark.core.tracers.ways import choose as auto

    from .choose import GOOD_ENOUGH, as_entry, fit, points, worst

    with usage():
        grid = points(found.values())
        thresholds = fit(grid)

    def picks(steps: int, elements: int) -> bool:
        return auto("auto", steps, elements)

    out.print(choice_table(grid, picks))
    platform = str(next(iter(found.values())).metadata.get("device_platform", "?"))
    reached = worst(grid, picks)
    fitted = worst(grid, thresholds or (lambda steps, elements: False))
    out.print(f"auto takes at most {reached:.2f} times as long as the best way.")
    out.print(f"Fitted to this grid, {fitted:.2f} times: {as_entry(platform, thresholds)}")
    if failed is not None:
        _finish(failed)
    if reached > GOOD_ENOUGH:
        raise typer.Exit(ExitCode.FAILED)


def _peers(
    names: list[str] | None, python: list[str] | None, adapters: list[Path] | None
) -> tuple[list[str], Callable[[str], PeerProcess]]:
    """Which peers to start, and how to start each."""
    from .peers.process import PeerProcess, adapter_of, known

    pythons: dict[str, str] = {}
    for each in python or []:
        name, equals, path = each.partition("=")
        if not equals:
            raise ValueError(f"--python must be peer=path, got {each!r}.")
        pythons[name] = path
    own = {path.stem: path for path in adapters or []}
    chosen = [*(known() if names is None else names), *own]
    files = {name: own.get(name) or adapter_of(name) for name in [*chosen, *pythons]}

    def open_peer(name: str) -> PeerProcess:
        return PeerProcess(name, files[name].absolute(), pythons.get(name, sys.executable))

    return chosen, open_peer


def _report_missing(missing: Mapping[str, str | None]) -> None:
    for name, why in missing.items():
        err.print(f"skipped {name}: {why}", markup=False, highlight=False)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=err,
    )


def _measure(
    cases: list[Case],
    suite: Suite,
    backend: Backend | None,
    json: Path | None,
    resume: bool = False,
    rounds: int | None = None,
    processes: int | None = None,
) -> Outcome:
    """Run cases behind a progress bar; an interrupt keeps what was written."""
    from .registry import groups
    from .run import PROTOCOLS, Plan
    from .run import run as run_cases

    protocol, times = PROTOCOLS[suite.value]
    if rounds is not None:
        protocol = protocol.model_copy(update={"rounds": rounds})
    times = processes or times
    if json is not None and not json.absolute().parent.is_dir():
        err.print(f"[red]Error:[/red] there is no folder {json.absolute().parent} for --json.")
        raise typer.Exit(ExitCode.USAGE)
    if resume and json is None:
        err.print("[red]Error:[/red] --resume needs --json, the file to go on with.")
        raise typer.Exit(ExitCode.USAGE)
    plan = Plan(suite.value, protocol, times, backend and backend.value, json, resume)
    try:
        with _progress() as bar, usage():
            task = bar.add_task("", total=times * len(groups(cases)))

            def show(group: str, process: int) -> None:
                bar.update(task, description=group, advance=1)

            return run_cases(cases, plan, show)
    except KeyboardInterrupt:
        kept = f"; {json} holds what was measured" if json is not None and json.exists() else ""
        err.print(f"[yellow]Interrupted{kept}.[/yellow]")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _finish(outcome: Outcome) -> None:
    for group, why in outcome.failures.items():
        err.print(f"[red]{group} could not be measured:[/red] {why}", markup=True, highlight=False)
    if outcome.failures:
        raise typer.Exit(ExitCode.INCOMPLETE)


def main() -> None:
    """Run the command."""
    app()

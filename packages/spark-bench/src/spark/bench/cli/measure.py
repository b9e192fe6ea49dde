"""Commands that measure cases: `list`, `run`, `limits`, `choose`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .frame import (
    Backend,
    Dtypes,
    ExitCode,
    Json,
    Patterns,
    Resume,
    Suite,
    Where,
    app,
    err,
    guarded,
    out,
    progress,
    require_file,
    show,
)

if TYPE_CHECKING:
    from ..case import Case
    from ..run import Outcome


@app.command("list")
def list_cases(
    suite: Annotated[Suite, typer.Option(help="Which cases.")] = Suite.full,
    case: Patterns = None,
    dtype: Dtypes = None,
    count: Annotated[
        bool | None,
        typer.Option(help="Count the cases of each kind; by default without --case and --dtype."),
    ] = None,
) -> None:
    """List the kinds of work; or cases, with the work of one call of each.

    Example: `spark-bench list`, then `spark-bench list --case 'scan/RUTracer/*'`
    """
    from .. import summaries
    from ..registry import select

    with guarded():
        cases = select(suite.value, case or [], dtype or [])
    counted = not (case or dtype) if count is None else count
    show(summaries.kinds(cases) if counted else summaries.cases(cases))
    out.print(f"{len(cases)} cases")
    finish(patterns=case)


@app.command()
def run(
    suite: Annotated[Suite, typer.Option(help="Which cases, and how often.")] = Suite.quick,
    case: Patterns = None,
    dtype: Dtypes = None,
    backend: Where = None,
    json: Json = None,
    resume: Resume = False,
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
    from .. import summaries
    from ..registry import select

    with guarded():
        cases = select(suite.value, case or [], dtype or [])
        if limits:
            cases = list({each.name: each for each in select(patterns=["limits"]) + cases}.values())
    outcome = measure(cases, suite, backend, json, resume, rounds, processes)
    if limits:
        show(summaries.rates(outcome.records.values()))
    show(summaries.times(outcome.records.values()).without("peak bytes"))
    finish(outcome, case)


@app.command()
def limits(backend: Where = None, json: Json = None) -> None:
    """Measure the limits of this machine through JAX: bandwidth, matrix products, dispatch.

    Example: `spark-bench limits --json limits.json`
    """
    from .. import summaries
    from ..registry import select

    outcome = measure(select(patterns=["limits"]), Suite.quick, backend, json)
    show(summaries.rates(outcome.records.values()))
    finish(outcome)


@app.command()
def choose(
    backend: Where = None,
    json: Json = None,
    results: Annotated[
        Path | None, typer.Option("--from", help="Read these results instead of measuring.")
    ] = None,
    resume: Resume = False,
) -> None:
    """Measure the ways to run over a grid, and print which wins where on this device.

    Exits with 1 if the choice of `method="auto"` takes more than 1.3 times as long as the best way
    somewhere on the grid. Results of another device are judged by its choice there. The
    thresholds printed go into `spark.core.tracers._scan`.

    Example: `spark-bench choose --backend gpu --json ways.json`
    """
    from .. import summaries
    from ..backends import use
    from ..records import read
    from ..registry import select

    # `auto` goes by it where the results do not name their device.
    use(backend and backend.value)
    failed = None
    if results is None:
        failed = measure(select(patterns=["ways"]), Suite.quick, backend, json, resume)
        found = failed.records
    else:
        with guarded():
            found = read(results)
    from spark.core.internal import in_parallel as auto

    from ..choose import GOOD_ENOUGH, as_entry, choices, fit, points

    recorded = next((each.metadata.get("device_platform") for each in found.values()), None)
    platform = recorded and str(recorded)

    def picks(steps: int, elements: int) -> bool:
        return auto("auto", steps, elements, platform=platform)

    with guarded():
        measured = choices(found.values(), picks)
        if not measured:
            raise ValueError("no way to run was measured; their cases have the tag 'ways'.")
    show(summaries.choices(measured))
    furthest = max(measured, key=lambda choice: choice.over_best)
    out.print(f"auto takes at most {furthest.over_best:.2f} times as long as the best way,")
    out.print(f"at {furthest.name}.")
    if grid := points(found.values()):
        out.print(f"Thresholds fitted to this grid: {as_entry(platform or '?', fit(grid))}")
    if failed is not None:
        finish(failed)
    if furthest.over_best > GOOD_ENOUGH:
        raise typer.Exit(ExitCode.FAILED)


def measure(
    cases: list[Case],
    suite: Suite,
    backend: Backend | None,
    json: Path | None,
    resume: bool = False,
    rounds: int | None = None,
    processes: int | None = None,
    until: float = math.inf,
) -> Outcome:
    """Run cases with a progress bar; after an interrupt the file keeps the results so far.

    Args:
        cases: Cases to measure.
        suite: Protocol, but for `rounds` and `processes`.
        backend: Backend of JAX.
        json: File to write.
        resume: Whether to keep the results in the file.
        rounds: Values per case and process.
        processes: Processes per case; 0 measures in this one.
        until: Begin no group after this time, by `time.monotonic`; its cases are skipped.
    """
    from ..registry import groups
    from ..run import PROTOCOLS, Plan
    from ..run import run as run_cases

    protocol, times = PROTOCOLS[suite.value]
    if rounds is not None:
        protocol = protocol.model_copy(update={"rounds": rounds})
    times = times if processes is None else processes
    plan = Plan(suite.value, protocol, times, backend and backend.value, json, resume)
    with guarded(json), progress() as bar:
        require_file(json, resume)
        task = bar.add_task("", total=max(1, times) * len(groups(cases)))

        def advance(group: str, process: int) -> None:
            bar.update(task, description=group, advance=1)

        return run_cases(cases, plan, advance, until)


def finish(outcome: Outcome | None = None, patterns: list[str] | None = None) -> None:
    """Report skipped and failed cases, and patterns without one; exit with 3 if something failed.

    Args:
        outcome: What was measured.
        patterns: What cases were chosen by.
    """
    from .. import registry

    skipped, failures = (outcome.skipped, outcome.failures) if outcome else ({}, {})
    missing = registry.unmatched(patterns or [])
    for name, why in skipped.items():
        err.print(f"[yellow]{name} is skipped:[/yellow] {why}", markup=True, highlight=False)
    for group, why in failures.items():
        err.print(f"[red]{group} could not be measured:[/red] {why}", markup=True, highlight=False)
    for pattern in missing:
        err.print(f"[red]no case matches {pattern!r}.[/red]", markup=True, highlight=False)
    if failures or missing:
        raise typer.Exit(ExitCode.INCOMPLETE)

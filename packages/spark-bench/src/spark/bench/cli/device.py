"""The command `device`: what an accelerator is asked first, in one go and one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .frame import ExitCode, Suite, Where, app, guarded, out, require_file
from .measure import finish, measure


@app.command()
def device(
    json: Annotated[Path, typer.Option("--json", help="Write everything there, as pyperf's JSON.")],
    tests: Annotated[
        list[Path] | None,
        typer.Option(
            "--tests", help="Tests to run there; may be given several times.", exists=True
        ),
    ] = None,
    backend: Where = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="When to stop, tests included.")] = 9.0,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", help="Cases to measure; by default those for a device."),
    ] = None,
) -> None:
    """Measure what decides on an accelerator, then run tests there for the time that is left.

    Limits of the device; a trace of 10^7 elements beside a copy; a long sequence step by step and
    in parallel; a projection densely, by events and along stored connections; the ways to run over
    their grid (`spark-bench choose --from` prints the line for `auto`). It needs no package index,
    and the file is complete after each part.

    Example: `spark-bench device --backend gpu --json gpu.json --tests packages/spark-core-tracers`
    """
    from .. import records
    from ..device import run_tests
    from ..registry import select

    end = time.monotonic() + 60 * minutes
    with guarded(json):
        require_file(json, False)
        json.unlink(missing_ok=True)
        cases = select(patterns=case or ["limits", "device", "ways"])
    # One process a group: a machine that is lent is a short one.
    outcome = measure(cases, Suite.quick, backend, json, rounds=3, processes=1, until=end)
    if tests:
        with guarded(json):
            ran = run_tests(tests, backend and backend.value, max(1.0, end - time.monotonic()))
            done = records.load(json) if json.exists() else []
            records.write(json, [*done, ran])
        found = ran.get_metadata()
        out.print(
            f"tests: {found['tests_passed']} passed, {found['tests_failed']} failed, "
            f"{found['tests_skipped']} skipped; all run: {found['tests_complete']}"
        )
    finish(outcome)
    if tests and found["tests_failed"]:
        out.print(f"failed: {found['tests_which_failed']}")
        raise typer.Exit(ExitCode.FAILED)

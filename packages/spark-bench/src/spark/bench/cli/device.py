"""The command `device`: first measurements and tests of an accelerator, in one file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from .frame import ExitCode, Suite, Where, app, guarded, out, require_file
from .measure import finish, measure

CASES = ["device", "limits", "ways/*/1000x*", "ways/*/100000x*"]
"""Measured in this order; without the million steps, which take some ten seconds on a GPU."""


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
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the tests, by pytest-xdist.")
    ] = 0,
    log: Annotated[Path | None, typer.Option(help="Write the output of the tests there.")] = None,
) -> None:
    """Take the first measurements of an accelerator, and run tests for half of the time or more.

    Limits of the device; a trace of 4 x 10^8 elements beside a copy; a long sequence step by step
    and in parallel; a projection densely and along stored connections; the ways to run over their
    grid (`spark-bench choose --from` prints the line for `auto`). It needs no package index, and
    the file is complete after each part. Exits with 1 if a test failed or pytest itself did.

    Example: `spark-bench device --backend gpu --json gpu.json --tests packages/spark-core-tracers`
    """
    from .. import records
    from ..backends import use
    from ..device import run_tests
    from ..registry import select

    # The tests, in other processes, take memory of the same device.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    use(backend and backend.value)
    start = time.monotonic()
    end = start + 60 * minutes
    with guarded(json):
        require_file(json, False)
        json.unlink(missing_ok=True)
        chosen = [select(patterns=[pattern]) for pattern in case or CASES]
        cases = list({each.name: each for part in chosen for each in part}.values())
    # In this process: the start of a device takes longer than most measurements.
    until = start + 30 * minutes if tests else end
    outcome = measure(cases, Suite.quick, backend, json, rounds=3, processes=0, until=until)
    if tests:
        with guarded(json):
            ran = run_tests(
                tests, backend and backend.value, max(1.0, end - time.monotonic()), workers, log
            )
            done = records.load(json) if json.exists() else []
            records.write(json, [*done, ran])
        found = ran.get_metadata()
        out.print(
            f"tests: {found['tests_passed']} passed, {found['tests_failed']} failed, "
            f"{found['tests_skipped']} skipped; all run: {found['tests_complete']}"
        )
    finish(outcome)
    over = time.monotonic() >= end
    if tests and (found["tests_failed"] or (found["tests_complete"] == "no" and not over)):
        out.print(f"failed: {found['tests_which_failed']}")
        raise typer.Exit(ExitCode.FAILED)

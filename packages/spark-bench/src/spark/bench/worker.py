"""The process in which a group of cases is timed: a task on stdin, results on stdout.

Every group has processes of its own, so that one program's memory, threads and compiled code do not
colour another's times, and so that what differs from process to process shows as spread.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback

import jax
from pydantic import BaseModel

from .case import Case
from .environment import environment
from .registry import all_cases
from .timing import Protocol, Timing, measure


class Task(BaseModel):
    """What a worker has to do.

    Attributes:
        cases: Names of the cases, all of one group.
        protocol: How often is timed.
    """

    cases: list[str]
    protocol: Protocol


class Answer(BaseModel):
    """What it found.

    Attributes:
        timings: One per case; none where it failed.
        skipped: Why a case cannot be measured here, by its name.
        environment: Where it ran.
        error: Why it failed, or None.
    """

    timings: list[Timing] = []
    skipped: dict[str, str] = {}
    environment: dict[str, str | int | float] = {}
    error: str | None = None


def answer(task: Task) -> Answer:
    """Measure in this process."""
    try:
        cases = [all_cases()[name] for name in task.cases]
        skipped = {case.name: why for case in cases if (why := _why_not(case))}
        able = [case for case in cases if case.name not in skipped]
        timings = measure(able, task.protocol)
        return Answer(timings=timings, skipped=skipped, environment=environment())
    except Exception:
        return Answer(error=traceback.format_exc())


def _why_not(case: Case) -> str | None:
    """Why a case cannot be measured here, or None if it can."""
    here = jax.device_count()
    if case.devices > here:
        return f"it takes {case.devices} devices, and there are {here} ({jax.default_backend()})"
    return case.missing() if case.missing else None


def _leave_with_parent() -> None:
    """End this process once the other end of stdin is closed, as when the parent is killed."""
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Read a task from the first line of stdin and write the answer to stdout, as JSON."""
    task = Task.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    # Whatever a case prints must not end up in the answer.
    out, sys.stdout = sys.stdout, sys.stderr
    print(answer(task).model_dump_json(), file=out, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

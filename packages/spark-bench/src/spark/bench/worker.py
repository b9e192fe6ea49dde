"""Groups of cases, each timed in several processes of its own.

One program's memory, threads and compiled code then do not colour another's times, and differences
from process to process show as spread.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from pydantic import BaseModel

from .backends import variables
from .case import Case
from .environment import environment
from .pipe import Pipe, ProcessError, serve
from .registry import all_cases
from .timing import Protocol, Timing, measure


class Task(BaseModel):
    """The task of a worker.

    Attributes:
        cases: Names of the cases, all of one group.
        protocol: Number of rounds, and their least duration.
    """

    cases: list[str]
    protocol: Protocol


class Answer(BaseModel):
    """Its results.

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


def measure_in_process(
    cases: Sequence[Case], protocol: Protocol, backend: str | None = None
) -> Answer:
    """Time the cases of one group in a process of its own.

    Args:
        cases: Cases of one group.
        protocol: Number of rounds, and their least duration.
        backend: Which of `BACKENDS`, or None for JAX's default.

    Raises:
        ProcessError: If a case raises, or the process dies.
    """
    command = [sys.executable, "-m", "spark.bench.worker"]
    devices = max(case.devices for case in cases)
    task = Task(cases=[case.name for case in cases], protocol=protocol)
    with contextlib.closing(Pipe(command, variables(backend, devices))) as pipe:
        return _unless_failed(Answer.model_validate(pipe.ask("answer", task=task.model_dump())))


def measure_here(cases: Sequence[Case], protocol: Protocol) -> Answer:
    """Time the cases of one group in this process, where the start of another takes too long.

    Raises:
        ProcessError: If a case raises.
    """
    return _unless_failed(answer(Task(cases=[case.name for case in cases], protocol=protocol)))


def _unless_failed(found: Answer) -> Answer:
    if found.error is not None:
        raise ProcessError(found.error.strip().splitlines()[-1])
    return found


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


def _answer(task: Mapping[str, Any]) -> dict[str, Any]:
    return answer(Task.model_validate(task)).model_dump()


if __name__ == "__main__":
    serve({"answer": _answer})

"""A run: groups of cases, one after another, each written down as soon as it is measured."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyperf

from . import records
from .case import Case
from .environment import Environment
from .pipe import ProcessError
from .registry import groups
from .timing import Protocol, Timing
from .worker import measure_here, measure_in_process


@dataclasses.dataclass(frozen=True)
class Plan:
    """The way to run a suite.

    Attributes:
        suite: Name of the suite, for the record.
        protocol: Number of rounds in each process, and their least duration.
        processes: Processes per group; 0 measures in this one.
        backend: `"cpu"`, `"gpu"`, or None for JAX's default.
        json: Where to write; None writes nothing.
        resume: Whether to keep the results in the file, and to measure only the rest.
    """

    suite: str
    protocol: Protocol
    processes: int
    backend: str | None = None
    json: Path | None = None
    resume: bool = False


PROTOCOLS = {
    "quick": (Protocol(rounds=5, warmups=1, shortest=0.02), 2),
    "full": (Protocol(rounds=7, warmups=2, shortest=0.1), 3),
}
"""Protocol and number of processes of each suite."""


@dataclasses.dataclass
class Outcome:
    """The results of a run.

    Attributes:
        records: Measured now, or read from the file that was resumed, by name.
        failures: Why a group was not measured, by its name.
        skipped: Why a case cannot be measured on this machine, by its name.
    """

    records: dict[str, records.Record]
    failures: dict[str, str]
    skipped: dict[str, str]


def run(
    cases: Sequence[Case],
    plan: Plan,
    on_group: Callable[[str, int], None] = lambda group, process: None,
    until: float = math.inf,
) -> Outcome:
    """Measure cases group by group; the file holds every finished group at any moment.

    Args:
        cases: Cases to measure.
        plan: The way to run them.
        on_group: Called with the name of the group and the number of the process before each.
        until: Begin no group after this time, by `time.monotonic`; its cases are skipped.

    Raises:
        ValueError: If the file to resume cannot be read.
    """
    done: dict[str, pyperf.Benchmark] = {}
    if plan.resume and plan.json is not None and plan.json.exists():
        done = {benchmark.get_name(): benchmark for benchmark in records.load(plan.json)}
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for group, members in groups(case for case in cases if case.name not in done).items():
        if time.monotonic() > until:
            skipped |= {case.name: "no time was left" for case in members}
            continue
        found: dict[str, list[tuple[Timing, Environment]]] = {case.name: [] for case in members}
        try:
            for process in range(plan.processes or 1):
                on_group(group, process)
                if plan.processes:
                    answer = measure_in_process(members, plan.protocol, plan.backend)
                else:
                    answer = measure_here(members, plan.protocol)
                for timing in answer.timings:
                    found[timing.name].append((timing, answer.environment))
                skipped |= answer.skipped
        except ProcessError as failure:
            failures[group] = str(failure)
            continue
        for case in members:
            if case.name not in skipped:
                done[case.name] = records.as_benchmark(
                    case.description, found[case.name], plan.suite
                )
        if plan.json is not None and done:
            records.write(plan.json, done.values())
    measured = {name: records.as_record(each) for name, each in done.items()}
    return Outcome(measured, failures, skipped)

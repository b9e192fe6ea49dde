"""Groups of cases, each timed in several processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import jax

from .case import Case
from .environment import python_path
from .timing import Protocol
from .worker import Answer, Task, answer

BACKENDS = {"cpu": "cpu", "gpu": "cuda"}
"""What `--backend` takes, and what JAX calls it."""


def use(backend: str | None) -> None:
    """Make this process use a backend; to be called before JAX has started one.

    Args:
        backend: Which of `BACKENDS`, or None for what JAX takes by itself.
    """
    if backend is not None:
        jax.config.update("jax_platforms", BACKENDS[backend])


class WorkerError(RuntimeError):
    """A process that measures came to no result; the message says why."""


def measure_in_process(
    cases: Sequence[Case], protocol: Protocol, backend: str | None = None
) -> Answer:
    """Time the cases of one group in a process of its own.

    Args:
        cases: Cases of one group.
        protocol: How often is timed.
        backend: Which of `BACKENDS`, or None for what JAX takes by itself.

    Raises:
        WorkerError: If a case raises, or the process dies.
    """
    task = Task(cases=[case.name for case in cases], protocol=protocol)
    # A file, not a pipe, which would fill up while nobody reads it.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "spark.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_variables(backend, max(case.devices for case in cases)),
        ) as process,
    ):
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            # Left open: the worker takes its end as that of this process.
            process.stdin.write(task.model_dump_json() + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            # An interrupt, too, leaves no process behind.
            process.kill()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or ["no message"])[-1]
    if not line:
        raise WorkerError(f"the process died: {last}")
    return _unless_failed(Answer.model_validate_json(line))


def measure_here(cases: Sequence[Case], protocol: Protocol) -> Answer:
    """Time the cases of one group in this process, where the start of another takes too long.

    Raises:
        WorkerError: If a case raises.
    """
    return _unless_failed(answer(Task(cases=[case.name for case in cases], protocol=protocol)))


def _unless_failed(found: Answer) -> Answer:
    if found.error is not None:
        raise WorkerError(found.error.strip().splitlines()[-1])
    return found


def _variables(backend: str | None, devices: int) -> Mapping[str, str]:
    variables = dict(os.environ)
    if backend is not None:
        variables["JAX_PLATFORMS"] = BACKENDS[backend]
    if devices > 1:
        # Before JAX starts; heeded by CPUs alone.
        count = f"--xla_force_host_platform_device_count={devices}"
        variables["XLA_FLAGS"] = f"{variables.get('XLA_FLAGS', '')} {count}".strip()
    variables["PYTHONPATH"] = python_path()
    return variables

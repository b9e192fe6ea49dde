"""Tests of a repository on a device, within a time limit, recorded beside the times."""

from __future__ import annotations

import collections
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pyperf

from .backends import variables
from .environment import Environment, environment

NAME = "device/tests"
"""Name of the record."""

_OUTCOME = r"(?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b"
_RESULT = re.compile(rf"(?P<test>\S+::.*?) {_OUTCOME}")
_RESULT_OF_WORKER = re.compile(rf"\[gw\d+\] \[ *\d+%\] {_OUTCOME} (?P<test>\S+::.*)")


def run_tests(
    paths: Sequence[Path],
    backend: str | None,
    seconds: float,
    workers: int = 0,
    log: Path | None = None,
) -> pyperf.Benchmark:
    """Run tests by pytest within a time limit.

    Args:
        paths: Files or folders of tests.
        backend: Which of `BACKENDS`, or None for JAX's default.
        seconds: Time limit.
        workers: Processes that share the tests, by pytest-xdist; 0 takes none.
        log: File for the output of pytest, or None.

    Returns:
        Their time; in its metadata the numbers of tests that passed, failed and were skipped, the
        names of those that failed, and whether all were run.
    """
    command = [sys.executable, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider"]
    command += ["-p", "no:benchmark"]  # it warns beside pytest-xdist, and warnings are errors
    command += ["-n", str(workers)] if workers else []
    counts: collections.Counter[str] = collections.Counter()
    failed: list[str] = []
    start = time.perf_counter()
    with (
        (log or Path(os.devnull)).open("w") as output,
        subprocess.Popen(
            [*command, *map(str, paths)],
            stdout=subprocess.PIPE,
            text=True,
            env=variables(backend) | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            start_new_session=True,
        ) as process,
    ):
        limit = threading.Timer(seconds, _end, [process])
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            if found := (_RESULT_OF_WORKER if workers else _RESULT).match(line):
                counts[found["outcome"]] += 1
                if found["outcome"] in ("FAILED", "ERROR"):
                    failed.append(found["test"].strip())
        limit.cancel()
    metadata: Environment = {
        "name": NAME,
        "unit": "second",
        "tests_passed": counts["PASSED"],
        "tests_failed": len(failed),
        "tests_skipped": counts["SKIPPED"] + counts["XFAIL"],
        "tests_which_failed": ", ".join(failed) or "none",
        # 0 or 1 if all tests were run; killed at the limit, a process has no exit code of pytest's.
        "tests_complete": "yes" if process.returncode in (0, 1) else "no",
    }
    run = pyperf.Run(
        [time.perf_counter() - start], metadata=metadata | environment(), collect_metadata=False
    )
    return pyperf.Benchmark([run])


def _end(process: subprocess.Popen[str]) -> None:
    """Kill pytest and the processes that it started."""
    os.killpg(process.pid, signal.SIGKILL)

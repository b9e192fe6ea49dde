import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark.bench import Case, records, registry
from spark.bench.cli import ExitCode, app
from spark.bench.run import Plan, run
from spark.bench.timing import Protocol
from spark.bench.worker import Answer, Task, answer

ONCE = Protocol(rounds=1, warmups=0, shortest=0.0)
FAST = ["--rounds", "2", "--processes", "1", "--no-limits"]


# `python -m spark.bench`; whoever runs the tests in the background has it ignore interrupts.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("spark.bench", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def command():
    """Starts the command in a process of its own, and leaves none behind."""
    started = []

    def start(*arguments):
        environment = dict(
            os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path)
        )
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_one_group(path, process):
    """Wait until something is measured, and fail early if nothing will be."""
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    pytest.fail("nothing was measured within a minute")


def children(process):
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def test_a_killed_run_keeps_its_results_and_is_resumed(command, tmp_path):
    path = tmp_path / "out.json"
    # Two groups, of two cases each: the first is there, or both, when the run is killed.
    chosen = ["--case", "call/Tracer/*", "--json", path, *FAST]
    process = command("run", *chosen)
    wait_for_one_group(path, process)
    workers = children(process)
    process.send_signal(signal.SIGKILL)
    process.wait()

    kept = records.read(path)
    assert kept
    assert all(len(record.values) == 2 for record in kept.values())
    # A worker notices that its parent is gone.
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, workers))

    resumed = command("run", *chosen, "--resume")
    output, _ = resumed.communicate(timeout=120)
    assert resumed.returncode == ExitCode.OK, output
    found = records.read(path)
    assert len(found) == 4
    for name, record in kept.items():
        assert found[name].processes == record.processes


def test_an_interrupt_keeps_results_and_exits_with_130(command, tmp_path):
    path = tmp_path / "out.json"
    process = command("run", "--case", "call", "--json", path, *FAST)
    wait_for_one_group(path, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert records.read(path)


def test_a_case_that_fails_is_reported_and_the_others_are_measured(monkeypatch, tmp_path):
    broken = Case("broken/one", setup=lambda: 1 / 0, group="broken")
    plan = Plan("chosen", ONCE, processes=1, json=tmp_path / "out.json")
    # Workers know only what is installed: to them, this case does not exist.
    found = run([broken, *registry.select(patterns=["call/Tracer/float32/*"])], plan)
    assert list(found.failures) == ["broken"]
    assert "broken/one" in found.failures["broken"]
    assert len(found.records) == 2
    assert len(records.read(tmp_path / "out.json")) == 2


def test_cpus_become_as_many_devices_as_a_group_needs():
    cases = registry.select(patterns=["scaling/strong/*"])
    found = run(cases, Plan("chosen", ONCE, processes=1, backend="cpu"))
    assert not found.failures
    assert not found.skipped
    assert [record.sizes["devices"] for record in found.records.values()] == [1, 2, 4]
    assert {record.metadata["device_count"] for record in found.records.values()} == {4}


def test_a_case_without_its_devices_is_skipped_and_the_others_are_measured(monkeypatch):
    monkeypatch.setattr("jax.device_count", lambda: 1)
    found = answer(Task(cases=["scaling/strong/1", "scaling/strong/2"], protocol=ONCE))
    assert found.error is None
    assert [timing.name for timing in found.timings] == ["scaling/strong/1"]
    assert list(found.skipped) == ["scaling/strong/2"]
    assert "takes 2 devices, and there are 1" in found.skipped["scaling/strong/2"]


def test_a_skipped_case_is_reported_and_not_recorded(monkeypatch, tmp_path):
    skipped = {"scaling/strong/4": "it takes 4 devices"}
    monkeypatch.setattr(
        "spark.bench.run.measure_in_process", lambda *arguments: Answer(skipped=skipped)
    )
    cases = registry.select(patterns=["scaling/strong/4"])
    found = run(cases, Plan("chosen", ONCE, processes=2, json=tmp_path / "out.json"))
    assert (found.records, found.failures, found.skipped) == ({}, {}, skipped)
    said = CliRunner().invoke(app, ["run", "--case", "scaling/strong/4", "--no-limits"])
    assert said.exit_code == ExitCode.OK
    assert "scaling/strong/4 is skipped: it takes 4 devices" in said.output

"""First measurements and tests of an accelerator, tried on the CPU and at small sizes."""

import functools

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from spark.bench import records
from spark.bench.cases import device as cases
from spark.bench.cases import projections, tracers
from spark.bench.cli import ExitCode, app
from spark.bench.device import NAME, run_tests

TESTS = """
import pytest, time
def test_right(): pass
@pytest.mark.parametrize("name", ["a b", "c"])
def test_of(name): assert name == "c"
@pytest.mark.skip(reason="never")
def test_skipped(): pass
def test_that_waits(): time.sleep({seconds})
"""


@pytest.mark.parametrize(
    ("seconds", "complete", "passed", "workers"),
    [(0, "yes", 3, 0), (60, "no", 2, 0), (0, "yes", 3, 1)],
)
def test_tests_are_counted_and_stopped_in_time(tmp_path, seconds, complete, passed, workers):
    (tmp_path / "test_these.py").write_text(TESTS.format(seconds=seconds))
    limit = 60 if complete == "yes" else 10  # seconds to start pytest in
    log = tmp_path / "log"
    found = run_tests([tmp_path], "cpu", limit, workers, log).get_metadata()
    assert "test_right" in log.read_text()
    assert found["tests_complete"] == complete
    counts = [found[f"tests_{name}"] for name in ("passed", "failed", "skipped")]
    assert counts == [passed, 1, 1]
    assert found["tests_which_failed"].endswith("test_of[a b]")


def test_tests_that_cannot_be_collected_fail_the_command(tmp_path):
    (tmp_path / "test_these.py").write_text("import nothing_of_this_name")
    assert run_tests([tmp_path], "cpu", 60).get_metadata()["tests_complete"] == "no"
    json = tmp_path / "device.json"
    arguments = ["device", "--json", json, "--tests", tmp_path, "--case", "limits/dispatch"]
    found = CliRunner().invoke(app, [str(each) for each in arguments])
    assert found.exit_code == ExitCode.FAILED, found.output


def test_one_file_holds_times_and_results_of_tests(tmp_path):
    (tmp_path / "test_these.py").write_text("def test_wrong(): assert False")
    json = tmp_path / "device.json"
    arguments = ["device", "--json", json, "--tests", tmp_path, "--case", "limits/dispatch"]
    found = CliRunner().invoke(app, [str(each) for each in arguments])
    assert found.exit_code == ExitCode.FAILED, found.output
    measured = records.read(json)
    assert list(measured) == ["limits/dispatch", NAME]
    assert measured[NAME].metadata["tests_failed"] == 1
    assert "device_platform" in measured[NAME].metadata


def test_cases_of_a_device_compute_the_same():
    scan = functools.partial(tracers.scanned, tracers.KINDS[0], "float32")
    ways = [np.asarray(scan(way, 50, 8)()) for way in ("sequential", "parallel")]
    # Single precision over the 100 steps that a trace remembers.
    np.testing.assert_allclose(*ways, atol=1e-5)
    dense = projections.projected(256, 1, cases.ACTIVITY, "dense")
    assert dense().shape == cases._stored(256)().shape == (256,)
    for setup in (cases._copy, cases._step):
        program = setup("float16", 64)
        first, second = program(), program()
        assert jax.tree.leaves(second)[0].shape == (64,)
        assert jax.tree.leaves(first)[0].is_deleted()  # donated

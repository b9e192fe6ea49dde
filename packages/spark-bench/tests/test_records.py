import subprocess
import sys

import pyperf
import pytest

from spark.bench import Counts, records

from .crafted import ENVIRONMENT, benchmark, processes, write


def test_pyperf_reads_the_files(tmp_path):
    times = [[0.001, 0.002], [0.003, 0.004]]
    path = write(tmp_path / "out.json", {"a/b": times})
    found = pyperf.BenchmarkSuite.load(str(path)).get_benchmark("a/b")
    assert found.get_values() == (0.001, 0.002, 0.003, 0.004)
    assert found.get_nrun() == 2
    assert found.get_unit() == "second"
    assert found.get_metadata()["device"] == ENVIRONMENT["device"]
    assert found.get_runs()[0].warmups == ((3, 0.001),)


@pytest.mark.parametrize("command", [["compare_to"], ["hist"], ["stats"], ["show", "--metadata"]])
def test_pyperf_commands_accept_the_files(tmp_path, command):
    files = [write(tmp_path / f"{name}.json", {"a": processes(1e-3)}) for name in ("old", "new")]
    files = files if command[0] == "compare_to" else files[:1]
    found = subprocess.run(
        [sys.executable, "-m", "pyperf", *command, *files], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout


def test_a_record_survives_writing_and_reading(tmp_path):
    counts = Counts(element_updates=5, bytes_moved=7, flop=11, dispatches=2)
    case = {"sizes": {"elements": 5}, "tags": ("tracers",), "group": "g", "reference": True}
    records.write(tmp_path / "out.json", [benchmark("a", [[1.0, 3.0], [2.0, 2.0]], counts, **case)])
    record = records.read(tmp_path / "out.json")["a"]
    assert record.processes == ((1.0, 3.0), (2.0, 2.0))
    assert record.median == 2.0
    assert record.counts == counts
    assert record.sizes == {"elements": 5}
    assert record.tags == ("tracers",)
    assert record.group == "g"
    assert record.is_reference
    assert record.first_call == 0.5


def test_a_file_written_by_pyperf_is_read(tmp_path):
    run = pyperf.Run([1.0, 2.0], metadata={"name": "other"}, collect_metadata=False)
    pyperf.BenchmarkSuite([pyperf.Benchmark([run])]).dump(str(tmp_path / "other.json"))
    record = records.read(tmp_path / "other.json")["other"]
    assert record.median == 1.5
    assert record.counts == Counts(dispatches=0)


@pytest.mark.parametrize("content", [None, "", "{}", "no json"])
def test_a_file_without_results_is_refused(tmp_path, content):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"bad\.json"):
        records.read(path)


def test_writing_leaves_no_other_file(tmp_path):
    write(tmp_path / "out.json", {"a": [[1.0]]})
    write(tmp_path / "out.json", {"a": [[1.0]], "b": [[1.0]]})
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]

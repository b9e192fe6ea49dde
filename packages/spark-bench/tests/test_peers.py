import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spark.bench import records
from spark.bench.cli import ExitCode, app
from spark.bench.conform.references import largest_error
from spark.bench.peers.contest import contest, start
from spark.bench.peers.jobs import jobs, select_jobs
from spark.bench.peers.peer import ALWAYS_THERE, PeerProcess, adapter_of, known
from spark.bench.registry import all_cases

ADAPTERS = Path(__file__).parent / "adapters"
SMALL = next(job for job in jobs() if job.name == "synapses/100x100/float32/batch=1/activity=0.02")
TRACE = dataclasses.replace(
    next(job for job in jobs() if job.kind == "exponential"),
    make=lambda rng: {"xs": rng.random((20, 50)) < 0.1},
    steps=20,
)


def opened(name):
    own = ADAPTERS / f"{name}.py"
    return PeerProcess(name, own if own.exists() else adapter_of(name))


@pytest.fixture
def hold():
    """Holds four contests' worth of processes, started on demand and ended with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *names: start(names, opened, stack)


def test_work_has_the_name_of_the_cases_that_do_it():
    cases = all_cases().values()
    names = {case.name for case in cases} | {case.group for case in cases}
    names |= {name.rpartition("/")[0] for name in names if name.startswith("scan/")}
    for job in jobs():
        # Scans may be of other sizes.
        assert job.name in names or job.name.rpartition("/")[0] in names


def test_peers_are_timed_in_turns_and_recorded_for_pyperf(hold, tmp_path):
    peers, missing = hold("jax-dense", "jax-per-synapse", "numpy")
    assert not missing
    entries = contest(SMALL, peers, 3, 1e-4, {"device": "here"})
    assert [entry.peer for entry in entries] == ["jax-dense", "jax-per-synapse", "numpy"]
    assert all(entry.agrees for entry in entries)
    records.write(tmp_path / "peers.json", [entry.benchmark for entry in entries])
    found = records.read(tmp_path / "peers.json")[f"peers/{SMALL.name}/numpy"]
    assert len(found.values) == 3
    assert found.metadata["agrees"] == "yes"
    assert found.metadata["numpy_version"] == np.__version__
    assert found.counts.synaptic_events == 2 * 100 * 1000


def test_a_peer_with_another_output_does_not_agree(hold):
    peers, _ = hold("euler", "spark")
    wrong, ours = contest(TRACE, peers, 1, 1e-4, {})
    assert ours.agrees
    assert not wrong.agrees
    assert wrong.error > 0.01
    assert wrong.benchmark.get_metadata()["agrees"] == "no"


def test_a_missing_or_dead_peer_is_reported_and_the_others_go_on(hold):
    peers, missing = hold("missing", "dies", "numpy")
    assert list(missing) == ["missing"]
    assert "a_library_that_nobody_has" in missing["missing"]
    dead, there = contest(SMALL, peers, 1, 1e-4, {})
    assert "died" in dead.failure
    assert dead.benchmark is None
    assert there.agrees


@pytest.mark.parametrize(
    "found", [np.array([np.nan, 1.0]), np.array([1.0]), np.array([np.inf, 1.0])]
)
def test_nan_and_shapes_never_agree(found):
    assert largest_error(found, np.array([1.0, 1.0])) == float("inf")


def test_work_is_chosen_by_suite_and_pattern():
    assert {job.name for job in select_jobs("quick")} < {job.name for job in select_jobs("full")}
    assert [job.kind for job in select_jobs("quick", ["scan/RUTracer/*"])] == ["plasticity"]
    with pytest.raises(ValueError, match="no work matches 'nonsense'"):
        select_jobs("quick", ["nonsense"])


def test_the_command_prints_who_agrees_and_resumes(tmp_path):
    path = tmp_path / "peers.json"
    arguments = ["--job", "synapses/100x100/*", "--peer", "numpy", "--rounds", "1", "--json", path]
    arguments += ["--python", "brainpy=/no/such/python", "--peer", "brainpy"]
    found = CliRunner().invoke(app, ["peers", *map(str, arguments)], terminal_width=200)
    assert found.exit_code == ExitCode.OK, found.output
    assert "agrees" in found.output
    assert "skipped brainpy" in found.output
    before = path.read_text()
    again = CliRunner().invoke(app, ["peers", "--resume", *map(str, arguments)])
    assert again.exit_code == ExitCode.OK
    assert path.read_text() == before


def test_an_unknown_peer_is_refused():
    found = CliRunner().invoke(app, ["peers", "--peer", "nonsense"])
    assert found.exit_code == ExitCode.USAGE
    assert "there is no adapter for" in found.output


def test_adapters_that_need_nothing_come_first():
    assert known()[: len(ALWAYS_THERE)] == list(ALWAYS_THERE)
    others = {"brainpy", "brian2", "nest", "norse", "snntorch", "spark-snn", "sparxml", "spyx"}
    assert others == set(known()) - set(ALWAYS_THERE)

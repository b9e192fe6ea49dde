import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from spark.bench import __version__, registry
from spark.bench.cli import ExitCode, app

from .crafted import processes, write


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def commands():
    return [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("command", commands())
def test_help_has_an_example(command):
    found = invoke(command, "--help")
    assert found.exit_code == ExitCode.OK
    assert f"Example: spark-bench {command}" in " ".join(found.output.split())


def test_help_explains_exit_codes():
    found = invoke("--help").output
    assert "Exit codes" in found


def test_version_is_printed():
    assert invoke("--version").output.strip() == __version__


def test_cases_are_listed_with_their_counts():
    found = invoke("list", "--case", "call/Tracer/float32/*")
    assert found.exit_code == ExitCode.OK
    assert "call/Tracer/float32/1000/module" in found.output
    assert "2 cases" in found.output


def test_kinds_of_cases_are_listed_in_place_of_all_cases():
    found = invoke("list")
    assert found.exit_code == ExitCode.OK
    assert len(found.output.splitlines()) < 50
    assert "scan/*" in found.output
    every = invoke("list", "--no-count")
    assert len(every.output.splitlines()) > len(registry.all_cases())
    assert found.output.splitlines()[-1] == every.output.splitlines()[-1]
    counted = invoke("list", "--count", "--case", "call/Tracer/float32/*")
    assert "call/*" in counted.output
    assert "2 cases" in counted.output


def test_a_pattern_without_a_match_does_not_stop_the_others():
    found = invoke("list", "--case", "nonsense", "--case", "call/Tracer/float32/*")
    assert found.exit_code == ExitCode.INCOMPLETE
    assert "call/Tracer/float32/1000/module" in found.output
    assert "no case matches 'nonsense'" in found.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--case", "nonsense"),
        ("run", "--case", "nonsense"),
        ("run", "--suite", "nonsense"),
        ("run", "--resume"),
        ("network", "nonsense"),
        ("network", "cuba", "--scale", "2"),
        ("network", "cuba", "--external", "current"),
        ("network", "cuba", "--python", "none=python"),
        ("network", "cuba", "--python", "nest=/no/such/python"),
        ("network", "cuba", "--python", "nest"),
        ("network", "cuba", *["--python", f"nest={sys.executable}"] * 2),
        ("network", "cuba", "--figure", "raster.xyz"),
        ("network", "cuba", "--figure", "/no/such/folder/raster.png"),
        ("run", "--json", "/no/such/folder/out.json"),
        ("compare", "/no/such/file.json", "/no/such/file.json"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_reported_and_exits_with_2(arguments):
    found = invoke(*arguments)
    assert found.exit_code == ExitCode.USAGE
    assert "Traceback" not in found.output


@pytest.fixture
def files(tmp_path):
    slow = {"a": processes(1.5, spread=0.01), "b": processes(1.0, spread=0.01)}
    fast = {"a": processes(1.0, spread=0.01), "b": processes(1.0, spread=0.01)}
    return write(tmp_path / "slow.json", slow), write(tmp_path / "fast.json", fast)


def test_compare_prints_ratios(files):
    slow, fast = files
    found = invoke("compare", fast, slow)
    assert found.exit_code == ExitCode.OK
    assert "1.50x" in found.output
    assert "slower" in found.output


def test_compare_fails_above_a_bound(files):
    slow, fast = files
    assert invoke("compare", fast, slow, "--fail-above", "1.2").exit_code == ExitCode.FAILED
    assert invoke("compare", fast, slow, "--fail-above", "1.6").exit_code == ExitCode.OK
    assert invoke("compare", slow, fast, "--fail-above", "1.2").exit_code == ExitCode.OK


def test_environment_is_json():
    found = json.loads(invoke("environment", "--json").output)
    assert {"date", "device", "jax_version", "flax_version", "python_version"} <= set(found)


def test_a_network_is_run_and_drawn(tmp_path):
    json_file, picture = tmp_path / "cuba.json", tmp_path / "cuba.png"
    options = ("--scale", "0.05", "--seconds", "0.2", "--json", json_file, "--figure", picture)
    found = invoke("network", "cuba", *options)
    assert found.exit_code == ExitCode.OK
    assert "real-time factor" in found.output
    (record,) = json.loads(json_file.read_text())
    assert record["neurons"] == 200
    assert [each["name"] for each in record["populations"]] == ["E", "I"]
    assert record["real_time_factor"] == pytest.approx(record["run_s"] / 0.2)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_seeds_of_a_network_are_run_one_after_the_other(tmp_path):
    json_file = tmp_path / "cuba.json"
    options = ("--scale", "0.05", "--seconds", "0.2", "--seed", "3", "--seeds", "2")
    found = invoke("network", "cuba", *options, "--json", json_file)
    assert found.exit_code == ExitCode.OK
    records = json.loads(json_file.read_text())
    assert [each["seed"] for each in records] == [3, 4]
    rates = [[each["rate"] for each in record["populations"]] for record in records]
    assert records[0]["spikes"] != records[1]["spikes"]
    mean, spread = np.mean(rates, axis=0), np.std(rates, axis=0, ddof=1)
    for each in zip(mean, spread, strict=True):
        assert "{:.2f} +- {:.2f}".format(*each) in found.output
    alone = tmp_path / "alone.json"
    invoke("network", "cuba", *options[:4], "--seed", "4", "--json", alone)
    assert json.loads(alone.read_text())[0]["populations"] == records[1]["populations"]


def test_an_interrupt_keeps_the_seeds_that_are_done(tmp_path, monkeypatch):
    from spark.bench import networks

    def until_the_second(network, seconds, seed, **options):
        if seed == 1:
            raise KeyboardInterrupt
        return run(network, seconds, seed, **options)

    run, json_file = networks.simulate, tmp_path / "cuba.json"
    monkeypatch.setattr(networks, "simulate", until_the_second)
    options = ("--scale", "0.05", "--seconds", "0.01", "--seeds", "3", "--json", json_file)
    found = invoke("network", "cuba", *options)
    assert found.exit_code == ExitCode.INTERRUPTED
    assert "holds the results so far" in " ".join(found.output.split())
    assert [each["seed"] for each in json.loads(json_file.read_text())] == [0]
    # A file of before holds nothing of this run.
    found = invoke("network", "cuba", "--scale", "0.05", "--seed", "1", "--json", json_file)
    assert found.exit_code == ExitCode.INTERRUPTED
    assert "holds" not in found.output


def test_a_simulator_that_is_missing_is_skipped():
    options = ("--scale", "0.05", "--seconds", "0.01", "--python", f"brian2={sys.executable}")
    found = invoke("network", "cuba", *options)
    assert found.exit_code == ExitCode.INCOMPLETE
    assert "brian2 cannot run cuba" in found.output

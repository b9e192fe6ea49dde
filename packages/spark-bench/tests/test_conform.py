import contextlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark.bench.cli import ExitCode, app
from spark.bench.conform.facts import RATIOS, facts
from spark.bench.conform.suite import check
from spark.bench.peers.peer import PeerProcess, adapter_of
from spark.bench.pipe import ProcessError

ADAPTERS = Path(__file__).parent / "adapters"
# Where only one setting matters, the others would take their time.
QUICK = [fact for fact in facts() if "tau/dt" not in fact.name]
HALF = [fact for fact in facts() if fact.name == "tau/dt 1 to 20 000, float16"]


def checked(name, which):
    with contextlib.closing(PeerProcess(name, ADAPTERS / f"{name}.py")) as peer:
        return check(peer, which).verdicts


def test_spark_holds_every_fact():
    with contextlib.closing(PeerProcess("spark", adapter_of("spark"))) as peer:
        found = check(peer, facts()).verdicts
    wrong = {name: v for name, v in found.items() if v.outcome not in ("holds", "not offered")}
    assert not wrong
    assert sum(verdict.outcome == "holds" for verdict in found.values()) >= 17


def test_euler_decay_fails():
    found = checked("euler", QUICK)
    assert found["single impulse"].outcome == "fails"
    assert found["independent of dt"].outcome == "fails"
    # A tenth of a time constant a step: 0.9^t for exp(-0.1)^t, 2 % apart at most.
    assert 0.01 < found["single impulse"].error < 0.03
    assert found["saturation"].outcome == "not offered"


def test_rounding_to_nearest_float16_fails():
    (found,) = checked("nearest", HALF).values()
    assert found.outcome == "fails"
    # Past 4096 steps nothing decays: at 20 000, 10 000 steps pile up 27 % and more above the law.
    assert found.error > 0.1


def test_usage_that_decays_to_0_fails():
    found = checked("decaying_usage", QUICK)
    assert found["first spike after rest"].outcome == "fails"
    assert found["paired pulse, plasticity"].outcome == "fails"


def test_a_run_that_does_not_start_from_rest_fails():
    found = checked("leftover", QUICK)
    assert found["starts again from rest"].outcome == "fails"
    assert found["saturation"].outcome == "broken"
    assert "this one is broken" in found["saturation"].reason
    assert found["equal time constants"].outcome == "not offered"


def test_a_missing_library_is_reported():
    with pytest.raises(ProcessError, match="a_library_that_nobody_has"):
        PeerProcess("missing", ADAPTERS / "missing.py")


def test_the_command_writes_a_table_and_fails_for_a_wrong_adapter(tmp_path):
    path = tmp_path / "conform.json"
    adapter = ADAPTERS / "decaying_usage.py"
    found = CliRunner().invoke(
        app, ["conform", "--adapter", str(adapter), "--json", str(path)], terminal_width=200
    )
    assert found.exit_code == ExitCode.FAILED
    (table,) = json.loads(path.read_text())["implementations"]
    assert table["name"] == "decaying_usage"
    assert table["versions"]["numpy"]
    assert table["verdicts"]["first spike after rest"]["outcome"] == "fails"
    before = path.read_text()
    arguments = ["conform", "--adapter", str(adapter), "--json", str(path), "--resume"]
    # Nothing is left to do; it still fails.
    assert CliRunner().invoke(app, arguments).exit_code == ExitCode.FAILED
    assert path.read_text() == before


def test_the_command_skips_a_missing_library():
    found = CliRunner().invoke(app, ["conform", "--adapter", str(ADAPTERS / "missing.py")])
    assert found.exit_code == ExitCode.FAILED
    assert "skipped missing" in found.output


def test_law_covers_the_range_of_the_specification():
    assert min(RATIOS) == 1
    assert max(RATIOS) == 20_000

import pytest
from typer.testing import CliRunner

from spark.bench import records
from spark.bench.choose import Point, Thresholds, as_entry, choices, fit, points, worst
from spark.bench.cli import ExitCode, app

from .crafted import ENVIRONMENT, benchmark


def grid(parallel_wins):
    """Every point, with a factor of two between the ways."""
    found = []
    for steps in (10, 1000, 100_000):
        for elements in (1, 100, 10_000):
            wins = parallel_wins(steps, elements)
            found.append(
                Point("Tracer", steps, elements, 2.0 if wins else 1.0, 1.0 if wins else 2.0)
            )
    return found


def test_fit_recovers_thresholds():
    expected = Thresholds(shortest=1000, widest=100)
    found = grid(expected)
    assert fit(found) == expected
    assert worst(found, expected) == 1.0
    assert worst(found, lambda steps, elements: False) == 2.0


def test_a_device_that_is_never_faster_in_parallel_gets_no_entry():
    found = fit(grid(lambda steps, elements: False))
    assert found is None
    assert "sequential scan wins" in as_entry("cpu", found)


def test_entry_can_be_put_into_the_table():
    entry = as_entry("gpu", Thresholds(1000, 4096))
    assert eval(f"{{{entry}}}") == {"gpu": (1000, 4096)}


def test_an_empty_grid_is_refused():
    with pytest.raises(ValueError, match="nothing of the grid was measured"):
        fit([])


def test_auto_of_a_projection_is_its_measured_time():
    times = {"dense": 1.0, "events": 4.0, "auto": 1.5}
    measured = [
        records.as_record(benchmark(f"ways/projection/10x10/activity=0.1/{way}", [[time]]))
        for way, time in times.items()
    ]
    (found,) = choices(measured, lambda steps, elements: True)
    assert found.best == "dense"
    assert found.over_best == 1.5


# Results of any device are judged by what `auto` picks there, wherever they are read: it is
# sequential at every size on a CPU, and parallel at this one on a GPU.
@pytest.mark.parametrize(
    ("platform", "parallel", "code"),
    [
        ("cpu", 2.0, ExitCode.OK),
        ("cpu", 0.5, ExitCode.FAILED),
        ("gpu", 2.0, ExitCode.FAILED),
        ("gpu", 0.5, ExitCode.OK),
    ],
)
def test_the_command_compares_auto_with_the_best_way(tmp_path, platform, parallel, code):
    sizes = {"steps": 1000, "elements": 10}
    ways = {"sequential": 1.0, "parallel": parallel}
    where = ENVIRONMENT | {"device_platform": platform}
    written = [
        benchmark(f"ways/Tracer/1000x10/{way}", [[time]], environment=where, sizes=sizes)
        for way, time in ways.items()
    ]
    records.write(tmp_path / "ways.json", written)
    assert len(points(records.read(tmp_path / "ways.json").values())) == 1
    found = CliRunner().invoke(app, ["choose", "--from", str(tmp_path / "ways.json")])
    assert found.exit_code == code, found.output
    assert "auto takes at most" in found.output
    entry = f'"{platform}": (1000, 10),' if parallel < 1 else f"# {platform}: the sequential scan"
    assert f"this grid: {entry}" in found.output

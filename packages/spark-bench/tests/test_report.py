import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark.bench import Counts, records
from spark.bench.cli import ExitCode, app
from spark.bench.conform.facts import facts
from spark.bench.conform.suite import Checked, Conformance, Verdict
from spark.bench.floors import limits_in
from spark.bench.report import write_report

from .crafted import ENVIRONMENT, benchmark, processes


@pytest.fixture
def results(tmp_path):
    """A file with something for every figure."""
    made = [
        benchmark(
            "limits/copy/1", processes(1e-3), Counts(bytes_moved=10**7), sizes={"bytes": 1e7}
        ),
        benchmark("limits/gemm/float32", processes(1e-3), Counts(flop=10**8)),
        benchmark("limits/dispatch", processes(1e-5)),
    ]
    for elements in (10, 1000):
        for way, time in (("pass", 1e-4), ("sequential", 2e-4)):
            group = f"scan/Tracer/float32/1000x{elements}"
            counts = Counts(element_updates=1000 * elements, bytes_moved=5000 * elements)
            sizes = {"steps": 1000, "elements": elements, "batch": 1}
            times = processes(time * elements)
            reference = way == "pass"
            made.append(
                benchmark(
                    f"{group}/{way}", times, counts, sizes=sizes, group=group, reference=reference
                )
            )
    for activity in (0.01, 0.1):
        sizes = {"steps": 100, "elements": 10, "pre": 10, "activity": activity}
        name = f"synapses/10x10/float32/traced/activity={activity}"
        made.append(benchmark(name, processes(activity), Counts(element_updates=1), sizes=sizes))
    records.write(tmp_path / "results.json", made)
    return tmp_path / "results.json"


def conformance():
    verdicts = {fact.name: Verdict(outcome="not offered", tolerance=1.0) for fact in facts()}
    verdicts["saturation"] = Verdict(outcome="fails", error=0.5, tolerance=1e-5)
    each = Checked(
        name="a", title="A <library>", versions={"a": "1.0"}, convention="", verdicts=verdicts
    )
    return Conformance(environment=ENVIRONMENT, implementations=[each], missing={"b": "not here"})


def test_the_page_holds_everything_and_loads_nothing(results, tmp_path):
    table = tmp_path / "conform.json"
    conformance().write(table)
    arguments = ["report", results, "-o", tmp_path / "report", "--conformance", table]
    found = CliRunner().invoke(app, list(map(str, arguments)))
    assert found.exit_code == ExitCode.OK, found.output
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', re.sub(r'xlink:href="#', 'xlink:href="#', page))
    assert page.count("<svg") == 3
    assert "A &lt;library&gt;" in page
    assert "5.0e-01" in page
    assert "b was not checked: not here" in page
    assert ENVIRONMENT["device"] in page
    assert "2x (" in page


def test_the_same_results_give_the_same_page_and_figures(results, tmp_path):
    once = write_report(tmp_path / "once", records.read(results))
    again = write_report(tmp_path / "again", records.read(results))
    assert once[0].read_text() == again[0].read_text()
    names = {path.name for path in once}
    for figure in ("time-against-size", "time-against-activity", "time-over-floor"):
        assert {f"{figure}.png", f"{figure}.svg"} <= names
    assert all(path.stat().st_size > 1000 for path in map(Path, once))


def test_results_without_limits_have_no_floor(results, tmp_path):
    found = {n: r for n, r in records.read(results).items() if not n.startswith("limits/")}
    assert limits_in(found.values()) is None
    names = {path.name for path in write_report(tmp_path / "report", found)}
    assert "time-over-floor.png" not in names


def test_a_missing_file_is_wrong_usage(tmp_path):
    found = CliRunner().invoke(app, ["report", str(tmp_path / "none.json")])
    assert found.exit_code == ExitCode.USAGE

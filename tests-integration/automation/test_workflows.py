"""What the workflows run is in noxfile.py, and all of it that runs on a CPU is there."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*.yml")
}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
FILTERS = yaml.safe_load(WORKFLOWS["test.yml"]["jobs"]["plan"]["steps"][-1]["with"]["filters"])


@pytest.fixture(scope="module")
def listed():
    """Every session that nox knows."""
    command = [sys.executable, "-m", "nox", "--list", "--json", "-k", "not none"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(result.stdout)


def flat(patterns):
    for each in patterns:
        yield from flat(each) if isinstance(each, list) else [each]


def sessions(job):
    """The names of the sessions that a job runs, over its matrix."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    if "suite" in matrix:
        matrix["suite"] = list(FILTERS)
    elif "PACKAGE" in str(job["steps"]):
        matrix["package"] = [each for each in FILTERS if each != "integration"]
    for values in itertools.product(*matrix.values()):
        variables = {name.upper(): value for name, value in zip(matrix, values, strict=True)}
        for step in job["steps"]:
            if step.get("run", "").startswith("nox"):
                found = re.fullmatch(r'nox -s (?:"(.*?)"|(\w+)).*', step["run"])
                yield Template(found[1] or found[2]).substitute(variables)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_sessions_exist(listed, workflow, job):
    known = {each["session"] for each in listed} | {each["name"] for each in listed}
    assert set(sessions(WORKFLOWS[workflow]["jobs"][job])) <= known


@pytest.mark.parametrize(("workflow", "job"), [("test.yml", "suite"), ("release.yml", "test")])
def test_every_suite_python_and_jax_is_tested(listed, workflow, job):
    expected = {
        each["session"]
        for each in listed
        if each["name"] == "matrix"
        and each["call_spec"]["backend"] == "cpu"
        # A tag releases one package.
        and (workflow == "test.yml" or each["call_spec"]["suite"] != "integration")
    }
    assert expected
    assert set(sessions(WORKFLOWS[workflow]["jobs"][job])) == expected


def test_changes_of_a_package_start_the_tests_of_those_that_need_it(noxfile):
    suites = {name: [*needs, name] for name, needs in noxfile.PACKAGES.items()}
    suites["integration"] = list(noxfile.PACKAGES)
    assert list(FILTERS) == list(suites)
    for suite, packages in suites.items():
        expected = {f"packages/{each}/**" for each in packages}
        assert {each for each in flat(FILTERS[suite]) if each.startswith("packages/")} == expected
    assert {"tests-integration/**", "README.md", ".ci/run"} <= set(flat(FILTERS["integration"]))


def test_the_noxfile_knows_what_each_package_needs(noxfile):
    for package, needs in noxfile.PACKAGES.items():
        project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())
        names = {re.match(r"[\w-]+", each)[0] for each in project["project"]["dependencies"]}
        assert names & set(noxfile.PACKAGES) == set(needs)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_only_publishing_has_a_permission_to_write(workflow, job):
    assert WORKFLOWS[workflow]["permissions"] == {}
    granted = WORKFLOWS[workflow]["jobs"][job]["permissions"]
    writes = {name for name, access in granted.items() if access != "read"}
    assert writes == ({"id-token"} if job == "publish" else set())


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_actions_are_pinned_by_major_version(workflow, job):
    for step in WORKFLOWS[workflow]["jobs"][job]["steps"]:
        assert re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", step.get("uses", "a/b@v1"))

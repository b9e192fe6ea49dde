"""The code in every README runs as it stands there."""

import re
import tomllib
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_runs(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert blocks
    # As in a session of the reader's, whatever the tests beside this one have set.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in blocks:
            exec(compile(block, str(readme), "exec"), {})


def test_install_lines_name_every_package_of_the_repository_that_is_needed():
    for readme in READMES[1:]:
        project = tomllib.loads((readme.parent / "pyproject.toml").read_text())
        required = {re.match(r"[\w-]+", each)[0] for each in project["project"]["dependencies"]}
        siblings = {each.parent.name for each in READMES[1:]}
        (line,) = re.findall("^pip install (.*)", readme.read_text(), re.MULTILINE)
        named = {each.removeprefix("./packages/") for each in line.split()}
        assert named == (required & siblings) | {readme.parent.name}


def test_ci_runs_the_command_of_the_readme():
    commands = [line for line in READMES[0].read_text().splitlines() if "nox -s" in line]
    assert sum("nox -s demo" in line for line in commands) == 1
    assert sum("nox -s check" in line for line in commands) == 1
    for line in commands:
        if ".venv/bin/nox" in line:
            assert "pip install" in line
    assert "grep -m1 'nox -s check' README.md" in (ROOT / ".ci" / "run").read_text()

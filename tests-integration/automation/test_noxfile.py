"""The parts of noxfile.py that decide: what a tag names, and what an audit says."""

import json
import re
from pathlib import Path

import pytest

KNOWN = [{"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217"}]}]
ABSENT = [{"name": "jinja2", "skip_reason": "not found"}]
OURS = [{"name": "spark-bench", "skip_reason": "not found"}]
CLEAN = [{"name": "jax", "version": "1.0", "vulns": []}]


class EndError(Exception):
    pass


class Session:
    """Stands for nox's: each `pip-audit` writes the next report, or fails with a log."""

    posargs = ()

    def __init__(self, folder, answers):
        self.folder, self.answers = folder, iter(answers)

    def create_tmp(self):
        return str(self.folder)

    def install(self, *what):
        pass

    def run(self, *command, **options):
        answer = next(self.answers)
        if isinstance(answer, str):
            return answer
        (output,) = [each for each in command if each.startswith("--output=")]
        Path(output.removeprefix("--output=")).write_text(json.dumps({"dependencies": answer}))
        return "WARNING: a warning"

    def skip(self, reason):
        raise EndError(f"skip: {reason}")

    def error(self, reason):
        raise EndError(f"error: {reason}")

    def log(self, text):
        raise EndError(f"pass: {text}")


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["requests.exceptions.ConnectionError: no route"], "skip: .*no route"),
        (["ERROR: Could not connect to PyPI's vulnerability feed"], "skip: .*feed"),
        ([ABSENT], "skip: .*knows nothing of jinja2"),
        ([[{**KNOWN[0], "vulns": []}]], "skip: .*knows nothing of jinja2"),
        (["ImportError: no module"], "error: ImportError"),
        ([KNOWN, "requests.exceptions.ReadTimeout: slow"], "skip: .*slow"),
        ([KNOWN, "ValueError: broken"], "error: ValueError"),
        ([KNOWN, []], "error: not audited: anything"),
        ([KNOWN, OURS + CLEAN + ABSENT], "error: not audited: jinja2"),
        ([KNOWN, OURS + CLEAN + KNOWN], "error: jinja2 2.10: PYSEC-2019-217"),
        ([KNOWN, OURS + CLEAN], "pass: no known vulnerabilities"),
    ],
)
def test_an_audit_passes_only_on_an_answer(noxfile, tmp_path, answers, outcome):
    with pytest.raises(EndError, match=f"^{outcome}"):
        noxfile.audit.func(Session(tmp_path, answers))


def test_a_tag_names_a_package_at_its_version(noxfile):
    for package in noxfile.PACKAGES:
        (about,) = Path("packages", package).rglob("__about__.py")
        version = re.search(r'__version__ = "(.*)"', about.read_text())[1]
        assert noxfile.tagged(f"{package}-v{version}") == package


def test_every_environment_of_a_peer_is_for_an_adapter(noxfile):
    adapters = Path("packages/spark-bench/src/spark/bench/peers/adapters")
    for peer, (python, *requirements) in noxfile.PEERS.items():
        assert (adapters / f"{peer.replace('-', '_')}.py").exists()
        assert python in noxfile.PYTHONS
        assert requirements[0].partition("==")[2], "the library itself is pinned"


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("spark-bench-v99.0.0", "agree"),
        ("spark-bench-v", "agree"),
        ("spark-v0.1.0", "no package"),
        ("v0.1.0", "no package"),
        ("../packages/spark-bench-v0.1.0", "no package"),
    ],
)
def test_another_tag_is_refused(noxfile, tag, message):
    with pytest.raises(ValueError, match=message):
        noxfile.tagged(tag)

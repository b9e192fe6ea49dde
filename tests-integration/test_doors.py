"""Sibling packages use of `spark.core` what is public, and `spark.core.internal`."""

import ast
import importlib.util
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "packages"
SIBLINGS = ["spark-nn-synapses", "spark-bench"]
SOURCES = [path for name in SIBLINGS for path in sorted((PACKAGES / name / "src").rglob("*.py"))]
LEAVES = ("spark.core.tracers", "spark.core.checkpoints", "spark.core.internal")


def trespasses(code):
    """What the code imports of `spark.core` and may not: lines and names."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found = [f"{module}.{alias.name}" for alias in names]
            case ast.Attribute(value=ast.Name(id="internal"), attr=name):
                found = [f"spark.core.internal.{name}"]
            case ast.Constant(value=str(text)) if text.isprintable() and " " not in text:
                found = [text]  # as in `import_module("spark.core.tracers._scan")`
            case _:
                continue
        for name in found:
            if name.startswith("spark.core.") and not is_public(name):
                yield node.lineno, name


def is_public(name):
    """Whether it is a leaf, or a public name or module of one."""
    leaf = next((leaf for leaf in LEAVES if f"{name}.".startswith(f"{leaf}.")), None)
    if leaf is None or name == leaf:
        return leaf is not None
    first, *rest = name.removeprefix(f"{leaf}.").split(".")
    if first in importlib.import_module(leaf).__all__:
        return True
    if leaf == "spark.core.internal" or any(part.startswith("_") for part in (first, *rest)):
        return False
    return importlib.util.find_spec(f"{leaf}.{first}") is not None


def test_every_sibling_has_sources():
    assert {path.relative_to(PACKAGES).parts[0] for path in SOURCES} == set(SIBLINGS)
    assert sum("spark.core.internal" in path.read_text() for path in SOURCES) > 10


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGES)))
def test_siblings_use_public_and_internal_names_only(path):
    # `spark_snn` has packages of the same names: its adapter runs where it is installed.
    if path.name != "spark_snn.py":
        assert not list(trespasses(path.read_text()))


def test_every_internal_name_is_used():
    used = {
        name.rpartition(".")[2]
        for path in SOURCES + sorted((PACKAGES / "spark-core-tracers/src").rglob("*.py"))
        for name in entered(path.read_text())
    }
    assert set(importlib.import_module("spark.core.internal").__all__) == used


def entered(code):
    """Names that the code takes from `spark.core.internal`."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.ImportFrom(module="spark.core.internal", names=names):
                yield from (alias.name for alias in names)
            case ast.Attribute(value=ast.Name(id="internal"), attr=name):
                yield name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import spark.core.tracers._scan", "spark.core.tracers._scan"),
        ("from spark.core.tracers import _scan", "spark.core.tracers._scan"),
        ("from spark.core.tracers._scan import run", "spark.core.tracers._scan.run"),
        ("from spark.core.tracers.base import _step", "spark.core.tracers.base._step"),
        ("from spark.core.internal import run", "spark.core.internal.run"),
        ("from spark.core import internal\ninternal.run", "spark.core.internal.run"),
        ("from spark.core.tracers import run", "spark.core.tracers.run"),
        ("import_module('spark.core.tracers._scan')", "spark.core.tracers._scan"),
    ],
)
def test_private_names_are_found(code, name):
    assert [found for _, found in trespasses(code)] == [name]


@pytest.mark.parametrize(
    "code",
    [
        "import spark.core.tracers",
        "from spark.core import internal, tracers\ninternal.one_of",
        "from spark.core.tracers import Tracer",
        "from spark.core.tracers.base import BaseTracer",
        "from spark.core.internal import one_of",
        "'`spark.core.tracers._scan` has the table.'",
    ],
)
def test_public_and_internal_names_are_allowed(code):
    assert not list(trespasses(code))

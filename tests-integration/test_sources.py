"""No source of the packages runs what it reads: a config or a checkpoint is data."""

import ast
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "packages"
SOURCES = sorted(PACKAGES.glob("*/src/**/*.py"))
MODULES = {
    *("pickle", "_pickle", "pickletools", "shelve", "marshal"),
    *("cloudpickle", "dill", "joblib", "jsonpickle"),
    *("yaml", "ruamel", "ruamel_yaml", "ruyaml"),
}
BUILTINS = {"eval", "exec"}


def dangers(code):
    """What in the code could run a file that it reads: lines and names."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                found = {alias.name.split(".")[0] for alias in names} & MODULES
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found = {module.split(".")[0]} & MODULES
                if module == "builtins":
                    found = {alias.name for alias in names} & BUILTINS
            case ast.Name(id=name):
                found = {name} & BUILTINS
            case ast.Attribute(value=ast.Name(id="builtins" | "__builtins__"), attr=name):
                found = {name} & BUILTINS
            case ast.Constant(value=str(text)):  # as in `import_module("pickle")`
                found = {text} & (MODULES | BUILTINS)
            case ast.keyword(arg="allow_pickle", value=value):
                refused = isinstance(value, ast.Constant) and value.value is False
                found = set() if refused else {"allow_pickle"}
            case _:
                continue
        yield from ((node.lineno, name) for name in sorted(found))


def test_every_package_has_sources():
    packages = {path.parent.name for path in PACKAGES.glob("*/pyproject.toml")}
    assert {path.relative_to(PACKAGES).parts[0] for path in SOURCES} == packages


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGES)))
def test_no_source_executes_a_file_that_it_reads(path):
    assert not list(dangers(path.read_text()))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import json, pickle as json", "pickle"),
        ("def load(path):\n    from yaml import safe_load", "yaml"),
        ("import ruamel.yaml", "ruamel"),
        ("from marshal import loads", "marshal"),
        ("x = eval('1')", "eval"),
        ("run = exec", "exec"),
        ("import builtins\nbuiltins.exec('1')", "exec"),
        ("from builtins import eval as parse", "eval"),
        ("import_module('pickle')", "pickle"),
        ("numpy.load(path, allow_pickle=True)", "allow_pickle"),
        ("numpy.load(path, allow_pickle=trust)", "allow_pickle"),
    ],
)
def test_code_that_could_run_a_file_is_found(code, name):
    assert [found for _, found in dangers(code)] == [name]


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "jax.eval_shape(f, x)",
        "from .pickle import fork",
        "numpy.load(path, allow_pickle=False)",
        "'Unlike pickle, JSON runs nothing.'",
    ],
)
def test_harmless_code_is_allowed(code):
    assert not list(dangers(code))

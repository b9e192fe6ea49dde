"""What is built: its exact files, the same bytes each time, and each package installed alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
SMOKE = {
    "spark-core-tracers": (
        "import spark, spark.core.tracers as t; assert spark.__file__ is None; "
        "print(t.__version__, t.Tracer(1, 5.0)(1.0))"
    ),
    "spark-nn-synapses": (
        "import spark, spark.nn.components.synapses as s, spark.nn.interchange; "
        "assert spark.__file__ is None; "
        "print(s.__version__, s.TracedSynapses(units=(2,))([True, False, True]).value)"
    ),
    "spark-bench": (
        "import spark, spark.bench as b; from spark.bench.registry import all_cases; "
        "assert spark.__file__ is None; assert all_cases(); print(b.__version__)"
    ),
}
LEAVES = {
    "spark-core-tracers": {"spark/core/tracers", "spark/core/checkpoints", "spark/core/internal"},
    "spark-nn-synapses": {
        "spark/nn/payloads",
        "spark/nn/initializers",
        "spark/nn/configs",
        "spark/nn/interchange",
        "spark/nn/components/synapses",
    },
    "spark-bench": {"spark/bench"},
}
every_package = pytest.mark.parametrize("package", SMOKE)


def run(*command, cwd=None):
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def build(source, folder):
    """Build the sdist of a package, and the wheel from it."""
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, source)


def fresh(folder):
    """The Python of an environment with nothing in it."""
    run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    return folder / "bin" / "python"


def install(python, *what):
    """Install into an environment, from its files and the package index."""
    run("uv", "pip", "install", "--quiet", "--python", python, *what)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist and the wheel of every package."""
    folder = tmp_path_factory.mktemp("dist")
    for package in SMOKE:
        build(PACKAGES / package, folder)
    return folder


def archive(built, package, suffix):
    (found,) = built.glob(f"{package.replace('-', '_')}-*{suffix}")
    return found


def test_every_package_is_tested():
    assert {path.parent.name for path in PACKAGES.glob("*/pyproject.toml")} == set(SMOKE)


@every_package
def test_wheel_holds_the_sources_and_nothing_else(built, package):
    wheel = archive(built, package, ".whl")
    information = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    source = PACKAGES / package / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.suffix in (".py", ".html") or path.name == "py.typed"
    }
    assert any(name.endswith("/__init__.py") for name in expected)
    assert any(name.endswith("/py.typed") for name in expected)
    expected |= {information + name for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    if "[project.scripts]" in (PACKAGES / package / "pyproject.toml").read_text():
        expected.add(information + "entry_points.txt")
    with zipfile.ZipFile(wheel) as opened:
        assert set(opened.namelist()) == expected


@every_package
def test_builds_in_another_folder_and_later_give_the_same_bytes(built, package, tmp_path):
    tree = tmp_path / "elsewhere"
    source = tree / "packages" / package
    shutil.copytree(PACKAGES / package, source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGES.parent / ".gitignore", tree)  # hatchling puts it in every sdist
    for path in tree.rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)  # as under another umask
    build(source, tmp_path)
    for suffix in (".whl", ".tar.gz"):
        first, again = (archive(folder, package, suffix) for folder in (built, tmp_path))
        assert first.name == again.name
        assert first.read_bytes() == again.read_bytes()


@every_package
def test_packages_above_a_leaf_have_no_init_file(package):
    source = PACKAGES / package / "src"
    markers = list(source.rglob("py.typed"))
    assert {marker.parent.relative_to(source).as_posix() for marker in markers} == LEAVES[package]
    for marker in markers:
        for folder in marker.relative_to(source).parents:
            is_leaf = folder == marker.parent.relative_to(source)
            assert (source / folder / "__init__.py").exists() == is_leaf


@every_package
def test_metadata_bounds_jax_from_below_only(built, package):
    with zipfile.ZipFile(archive(built, package, ".whl")) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith("METADATA")]
        lines = opened.read(name).decode().splitlines()
    assert "License-Expression: Apache-2.0" in lines
    assert "Requires-Python: >=3.11" in lines
    for line in lines:
        if line.startswith(("Requires-Dist: jax", "Requires-Dist: flax")):
            assert ">=" in line
            assert "<" not in line


@every_package
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_installs_alone_into_a_fresh_environment(built, package, kind, tmp_path):
    python = fresh(tmp_path / "env")
    what = [archive(built, package, ".whl")] if kind == "wheel" else ["-e", PACKAGES / package]
    # What a package needs from this repository is in the folder too.
    install(python, "--find-links", built, *what)
    version = run(sys.executable, "-m", "hatchling", "version", cwd=PACKAGES / package)
    assert run(python, "-W", "error", "-c", SMOKE[package], cwd=tmp_path).startswith(version)


def test_all_share_the_namespace(built, tmp_path):
    python = fresh(tmp_path / "env")
    install(python, *[archive(built, each, ".whl") for each in SMOKE])
    for code in SMOKE.values():
        run(python, "-W", "error", "-c", code, cwd=tmp_path)
    # Taking some out leaves the other as it was.
    taken = "spark-bench", "spark-nn-synapses"
    run("uv", "pip", "uninstall", "--quiet", "--python", python, *taken)
    run(python, "-W", "error", "-c", SMOKE["spark-core-tracers"], cwd=tmp_path)
    for leaf in ("spark.bench", "spark.nn.payloads", "spark.nn.components.synapses"):
        failed = subprocess.run([python, "-c", f"import {leaf}"], capture_output=True, text=True)
        assert "ModuleNotFoundError" in failed.stderr

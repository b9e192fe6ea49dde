"""The package as a distribution: its version, its marker, its names, its neighbours."""

import importlib.resources
import re
import subprocess
import sys
from pathlib import Path

import spark
from spark.core import tracers


def test_version_is_a_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", tracers.__version__)


def test_types_are_announced():
    assert importlib.resources.files(tracers).joinpath("py.typed").is_file()


def test_every_public_name_has_a_docstring():
    for name in tracers.__all__:
        if isinstance(getattr(tracers, name), type):
            # Dataclasses and named tuples write one of their own: it begins with their name.
            doc = getattr(tracers, name).__doc__ or name
            assert not doc.startswith(name), name


def test_packages_above_the_leaf_have_no_init_file():
    assert spark.__file__ is None


def test_an_older_spark_in_the_environment_is_a_clear_error(tmp_path):
    # As the regular package of the older distribution would lie: in front, and shared.
    source = Path(tracers.__file__).parent
    (tmp_path / "spark" / "core").mkdir(parents=True)
    (tmp_path / "spark" / "__init__.py").touch()
    (tmp_path / "spark" / "core" / "__init__.py").touch()
    (tmp_path / "spark" / "core" / "tracers").symlink_to(source)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import spark.core.tracers"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "cannot share an environment with spark-core-tracers" in result.stderr

"""The noxfile, as a module."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def noxfile():
    path = Path(__file__).parents[2] / "noxfile.py"
    spec = importlib.util.spec_from_file_location("noxfile", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""The page "Architecture" names every file in which something may have to be changed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
NAMED = {part for text in re.findall(r"`([^`\n]+)`", PAGE) for part in re.findall(r"\w+", text)}
ROOMS = {
    "spark-core-tracers": ("spark/core/tracers", "spark/core/checkpoints"),
    "spark-nn-synapses": (
        "spark/nn/components/synapses",
        "spark/nn/payloads",
        "spark/nn/configs",
        "spark/nn/initializers",
        "spark/nn/interchange",
    ),
    "spark-bench": ("spark/bench",),
}
FOLDERS = [ROOT / "packages" / name / "src" / room for name in ROOMS for room in ROOMS[name]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_and_folder_is_on_the_page(folder):
    inside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or is_package(path)}
    assert inside - NAMED <= {"__init__", "__about__", "__main__"}


def is_package(path):
    return path.is_dir() and any(path.glob("*.py"))

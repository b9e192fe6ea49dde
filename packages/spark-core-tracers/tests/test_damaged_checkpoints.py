"""A kill loses no checkpoint, a reader sees whole ones, and damage is refused."""

import contextlib
import gc
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from spark.core import checkpoints
from spark.core.checkpoints import checkpoints as module
from spark.core.tracers import Tracer

pytestmark = pytest.mark.versions

SAVING = """
import itertools, sys
from spark.core import checkpoints
from spark.core.tracers import Tracer
tracer = Tracer(2_000_000, 5.0, dtype="float32")
for step in itertools.count(1):
    tracer.trace[...] = tracer.trace[...] * 0 + step
    checkpoints.save(sys.argv[1], step, tracer)
    print(step, flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_during_a_save_leaves_the_last_checkpoint(tmp_path, seed):
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        # Once two are whole, at any point of those that follow.
        done = [int(next(process.stdout)) for _ in range(2)]
        time.sleep(random.Random(seed).uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        done += [int(line) for line in process.stdout]
    tracer = Tracer(2_000_000, 5.0, dtype="float32")
    step = checkpoints.restore(tmp_path, tracer)
    # The kill may have come between a save and the line that says so.
    assert step in (done[-1], done[-1] + 1)
    np.testing.assert_array_equal(tracer.value, np.full(2_000_000, step, np.float32))
    checkpoints.save(tmp_path, step + 1, tracer)


WRITING = """
import itertools, sys
from spark.core import checkpoints
from spark.core.tracers import Tracer
tracer = Tracer(1000, 5.0, dtype="float32")
for step in itertools.count(1):
    tracer.trace = float(step)
    checkpoints.save(sys.argv[1], step, tracer, keep=1)
    print(step, flush=True)
"""


@pytest.fixture
def left_by_orbax():
    """Collects the tasks that Orbax leaves behind, which have failed, within the test."""
    yield
    gc.collect()


def with_tasks_that_fail(test):
    """Mark a test that may leave such tasks."""
    ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    return ignored(pytest.mark.usefixtures("left_by_orbax")(test))


@with_tasks_that_fail
def test_a_reader_beside_a_writer_reads_complete_steps(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    tracer, steps = Tracer(1000, 5.0, dtype="float32"), []
    with process:
        next(process.stdout)
        end = time.monotonic() + 60
        while len(set(steps)) < 5 and time.monotonic() < end:
            steps.append(checkpoints.restore(tmp_path, tracer))
            np.testing.assert_array_equal(tracer.value, np.full(1000, steps[-1], np.float32))
            # A step by its number may be gone: complete, or refused in words.
            with contextlib.suppress(checkpoints.CheckpointError):
                checkpoints.restore(tmp_path, tracer, steps[-1])
            np.testing.assert_array_equal(tracer.value, np.full(1000, steps[-1], np.float32))
        process.kill()
    assert steps == sorted(steps)
    assert len(set(steps)) == 5


def test_a_listing_between_a_deleted_checkpoint_and_its_successor_is_repeated(
    tmp_path, monkeypatch
):
    tracer = Tracer(3, 5.0, dtype="float32")
    checkpoints.save(tmp_path, 7, tracer)
    real, empty = module._reader, [SimpleNamespace(all_steps=list)]

    def reader(folder):
        return contextlib.nullcontext(empty.pop()) if empty else real(folder)

    monkeypatch.setattr(module, "_reader", reader)
    assert checkpoints.restore(tmp_path, tracer) == 7


DAMAGES = {
    "missing": None,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: random.Random(0).randbytes(len(content)),
    "one byte": lambda content: _with_a_byte_changed(content, len(content) // 3),
    "another byte": lambda content: _with_a_byte_changed(content, len(content) // 2),
}
# Patterns of the files of a checkpoint, and what is done to each: all to those that hold arrays,
# less to text, which is read whole. An older Orbax does not write all of these.
_TEXT = ["missing", "garbage"]
FILES = {
    r"_CHECKPOINT_METADATA": _TEXT,
    r"about/metadata": [*_TEXT, "empty", "truncated", "one byte"],
    r"state/_METADATA": [*_TEXT, "one byte"],
    r"state/_sharding": _TEXT,
    r"state/array_metadatas/.*": _TEXT,
    r"state/manifest.ocdbt": [*_TEXT, "empty", "one byte"],
    r"state/d/.*": list(DAMAGES),
    r"state/ocdbt.process_0/.*": list(DAMAGES),
    r"(about/|state/)?commit_success.txt": ["missing"],
}


def _with_a_byte_changed(content, at):
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :] if content else b"x"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a checkpoint, and the trace that it holds."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tracer = Tracer((40, 50), 5.0, dtype="float32")
    tracer(np.random.default_rng(0).random((40, 50)))
    checkpoints.save(folder, 3, tracer)
    return folder, np.asarray(tracer.value)


def test_every_file_of_a_checkpoint_is_damaged_below(checkpoint):
    names = [path.relative_to(checkpoint[0] / "3").as_posix() for path in _files(checkpoint[0])]
    assert names
    assert not [name for name in names if not any(re.fullmatch(each, name) for each in FILES)]


def _files(folder):
    return sorted(path for path in (folder / "3").rglob("*") if path.is_file())


@with_tasks_that_fail
@pytest.mark.parametrize(
    ("pattern", "damage"), [(pattern, damage) for pattern in FILES for damage in FILES[pattern]]
)
def test_a_damaged_checkpoint_is_refused_or_restored_in_full(tmp_path, checkpoint, pattern, damage):
    folder, expected = checkpoint
    for path in _files(folder):
        name = path.relative_to(folder / "3").as_posix()
        if not re.fullmatch(pattern, name):
            continue
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy)
        damaged = copy / "3" / name
        damaged.unlink()
        if DAMAGES[damage] is not None:
            damaged.write_bytes(DAMAGES[damage](path.read_bytes()))
        tracer = Tracer((40, 50), 5.0, dtype="float32")
        try:
            checkpoints.restore(copy, tracer)
        except checkpoints.CheckpointError:
            np.testing.assert_array_equal(tracer.value, np.zeros((40, 50)))
            assert int(tracer.rng.count[...]) == 0
        else:
            np.testing.assert_array_equal(tracer.value, expected)


@with_tasks_that_fail
def test_the_cause_of_damage_is_chained(tmp_path):
    tracer = Tracer(3, 5.0)
    checkpoints.save(tmp_path, 3, tracer)
    (tmp_path / "3" / "about" / "metadata").write_text("{")
    with pytest.raises(checkpoints.CheckpointError, match="step 3 is damaged") as caught:
        checkpoints.restore(tmp_path, tracer)
    assert isinstance(caught.value.__cause__, ValueError)

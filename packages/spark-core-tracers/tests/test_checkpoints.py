"""Cut anywhere and resumed, a run is the run that was never cut; a kill loses no checkpoint."""

import contextlib
import gc
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from spark.core import checkpoints
from spark.core.tracers import DoubleTracer, RUTracer, SaturableTracer, Tracer

from .kinds import CLASSES, NEAREST, SHAPE, parametrized, train

pytestmark = pytest.mark.versions


@parametrized([*CLASSES, NEAREST])
def test_a_run_goes_on_bit_for_bit(tmp_path, kind):
    whole = kind.make(SHAPE, seed=7)
    whole.scan(train(0))
    expected = np.asarray(whole.scan(train(1)))
    cut = kind.make(SHAPE, seed=7)
    cut.scan(train(0))
    checkpoints.save(tmp_path, 5, cut)
    resumed = kind.make(SHAPE, seed=1)
    assert checkpoints.restore(tmp_path, resumed) == 5
    np.testing.assert_array_equal(np.asarray(resumed.scan(train(1))), expected)
    for name, trace in kind.traces(whole).items():
        assert kind.traces(resumed)[name].dtype == np.float16
        np.testing.assert_array_equal(kind.traces(resumed)[name], trace)


class Run(nnx.Module):
    """What a run is made of: several modules, and an optimizer."""

    def __init__(self, seed):
        self.tracer = Tracer(SHAPE, tau=5.0, trainable="tau", dtype="float32", seed=seed)
        self.others = nnx.List([RUTracer(2, 50.0, 10.0, 0.3), DoubleTracer(2, 5.0, 5.0)])
        self.optimizer = nnx.Optimizer(self.tracer, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)

    def train(self, steps):
        xs = np.ones((5, *SHAPE), np.float32)
        for _ in range(steps):
            gradient = nnx.grad(lambda tracer: tracer.scan(xs).sum())(self.tracer)
            self.optimizer.update(self.tracer, gradient)


def test_training_goes_on_where_it_was(tmp_path):
    whole, cut, resumed = Run(0), Run(0), Run(1)
    whole.train(4)
    cut.train(2)
    checkpoints.save(tmp_path, 2, cut)
    checkpoints.restore(tmp_path, resumed)
    resumed.train(2)
    for one, other in zip(
        jax.tree.leaves(nnx.to_pure_dict(nnx.state(whole, nnx.Not(nnx.RngState)))),
        jax.tree.leaves(nnx.to_pure_dict(nnx.state(resumed, nnx.Not(nnx.RngState)))),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def bounded(maximum):
    return SaturableTracer(3, 5.0, maximum=maximum)


OTHERS = [
    (lambda: Tracer(4, 5.0), r"shape: \(4,\) in this module, \(3,\) in the checkpoint"),
    (lambda: Tracer(3, 5.0, dt=0.5), r"dt: 0.5 in this module, 1.0 in the checkpoint"),
    (
        lambda: Tracer(3, 5.0, dtype="float32"),
        r"dtype: float32 in this module, float16 in the checkpoint",
    ),
    (
        lambda: Tracer(3, [5.0, 5.0, 6.0]),
        r"tau: float32\[3\] in this module, float32\[\] in the checkpoint",
    ),
    (
        lambda: Tracer(3, 5.0, integrator="euler"),
        r"integrator: euler in this module, exact in the checkpoint",
    ),
    (
        lambda: SaturableTracer(3, 5.0),
        r"class: SaturableTracer in this module, Tracer in the checkpoint",
    ),
]


@pytest.mark.parametrize(("make", "message"), OTHERS)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, make, message):
    refused(tmp_path, Tracer(3, 5.0), make, message)


def test_a_checkpoint_with_other_bounds_is_refused(tmp_path):
    message = r"- bounds: \(0.0, 0.25\) in this module, \(0.0, 1.0\) in the checkpoint$"
    refused(tmp_path, bounded(1.0), lambda: bounded(0.25), message)


def refused(tmp_path, saved, make, message):
    saved(1.0)
    checkpoints.save(tmp_path, 1, saved)
    module = make()
    with pytest.raises(checkpoints.CheckpointError, match=message):
        checkpoints.restore(tmp_path, module)
    assert int(module.rng.count[...]) == 0
    np.testing.assert_array_equal(module.value, np.zeros(module.shape))


def test_a_missing_folder_or_step_is_refused(tmp_path):
    tracer = Tracer(3, 5.0)
    with pytest.raises(checkpoints.CheckpointError, match="none: no such folder"):
        checkpoints.restore(tmp_path / "none", tracer)
    with pytest.raises(checkpoints.CheckpointError, match="no complete checkpoint"):
        checkpoints.restore(tmp_path, tracer)
    with pytest.raises(checkpoints.CheckpointError, match="nothing to save: build it first"):
        checkpoints.save(tmp_path, 1, nnx.Module())
    for step in (1, 2, 5):
        checkpoints.save(tmp_path, step, tracer, keep=2)
    with pytest.raises(
        checkpoints.CheckpointError, match=r"no checkpoint of step 1, only of \[2, 5\]"
    ):
        checkpoints.restore(tmp_path, tracer, 1)
    with pytest.raises(checkpoints.CheckpointError, match="step must be more than 5"):
        checkpoints.save(tmp_path, 5, tracer)
    for wrong, error, message in (
        ({"step": 6, "keep": 0}, ValueError, "keep must be an integer >= 1, got 0"),
        ({"step": -1}, ValueError, "step must be an integer >= 0, got -1"),
        ({"step": True}, TypeError, "step must be an integer, got True"),
        ({"step": 6.0}, TypeError, "step must be an integer, got 6.0"),
    ):
        with pytest.raises(error, match=message):
            checkpoints.save(tmp_path, module=tracer, **wrong)
    assert checkpoints.restore(tmp_path, tracer) == 5
    (tmp_path / "file").touch()
    with pytest.raises(checkpoints.CheckpointError, match="file: not a folder"):
        checkpoints.save(tmp_path / "file", 1, tracer)
    with pytest.raises(checkpoints.CheckpointError, match="file/in: cannot be written"):
        checkpoints.save(tmp_path / "file" / "in", 1, tracer)
    with pytest.raises(checkpoints.CheckpointError, match="file: no such folder"):
        checkpoints.restore(tmp_path / "file", tracer)
    for wrong, error in ((True, TypeError), (-1, ValueError), ("5", TypeError)):
        with pytest.raises(error, match="step must be an integer"):
            checkpoints.restore(tmp_path, tracer, wrong)


def test_a_checkpoint_without_a_description_is_refused(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(3, args=ocp.args.StandardSave({"value": np.zeros(3)}))
    with pytest.raises(
        checkpoints.CheckpointError, match=r"step 3 was not written by spark.core.check"
    ):
        checkpoints.restore(tmp_path, Tracer(3, 5.0))


class Recorder(nnx.Module):
    """Holds what is on the host."""

    def __init__(self, length, count):
        self.seen = nnx.Variable(np.full(length, float(count)))
        self.count = nnx.Variable(count)


def test_arrays_on_the_host_are_restored_too(tmp_path):
    checkpoints.save(tmp_path, 1, Recorder(3, 4))
    found = Recorder(3, 0)
    checkpoints.restore(tmp_path, found)
    np.testing.assert_array_equal(found.seen.get_value(), [4.0, 4.0, 4.0])
    assert found.count.get_value() == 4
    with pytest.raises(
        checkpoints.CheckpointError, match=r"seen: float64\[2\] in this module, float64\[3\]"
    ):
        checkpoints.restore(tmp_path, Recorder(2, 0))


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
def test_a_damaged_checkpoint_is_refused_or_whole(tmp_path, checkpoint, pattern, damage):
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


class Described(nnx.Module):
    """A module with an option of its own."""

    described = {"option": "own."}

    def __init__(self, flavour):
        self.option = {"flavour": flavour, "none": None}
        self.tracer = Tracer(2, tau=5.0)


def test_a_module_adds_its_own_description(tmp_path):
    checkpoints.save(tmp_path, 1, Described("sweet"))
    assert checkpoints.restore(tmp_path, Described("sweet")) == 1
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.restore(tmp_path, Described("sour"))
    assert caught.value.differences == ["own.flavour: sour in this module, sweet in the checkpoint"]

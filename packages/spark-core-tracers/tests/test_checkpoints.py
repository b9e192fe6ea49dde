"""Cut anywhere and resumed, a run is the run that was never cut; a kill loses no checkpoint."""

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

"""Synapses beside plain C and dense JAX: all compute the same, where there is a compiler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.bench import plain_c, registry
from spark.bench.cases import engine_programs as engine
from spark.bench.cases import start, tracers
from spark.bench.timing import Protocol
from spark.bench.worker import Task, answer

ONCE = Protocol(rounds=1, warmups=0, shortest=0.0)


@pytest.fixture
def compiler():
    """Skips what compares with C where nothing compiles it."""
    if why := plain_c.missing():
        pytest.skip(why)


@pytest.fixture
def without(monkeypatch):
    """Hides the compilers, or has another program stand in for them."""

    def hide(instead=None):
        monkeypatch.setattr("shutil.which", lambda name: instead)
        plain_c._library.cache_clear()

    yield hide
    plain_c._library.cache_clear()


def assert_same(found, expected):
    expected = np.asarray(expected)
    # Sums in another order, in single precision.
    close = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=close)


@pytest.mark.parametrize("rows", ["even", "varied"])
def test_c_computes_what_sparse_synapses_do(compiler, rows):
    size = {"size": 300, "steps": 50}
    expected = np.asarray(engine.sparse(rows, **size)())
    assert np.abs(expected).max() > 0
    program = engine.sparse_c(rows, **size)
    for _ in range(2):  # each call starts at rest
        assert_same(program(), expected)


@pytest.mark.parametrize("activity", [0.02, 0.5, 1.0])
def test_c_and_a_product_compute_what_dense_synapses_do(compiler, activity):
    shape = (50, 100)
    expected = engine.dense(shape, activity)()
    assert_same(engine.dense_c(shape, activity)(), expected)
    with jax.default_matmul_precision("highest"):
        assert_same(engine.product(shape, activity)(), expected)


def test_c_computes_what_delayed_synapses_do(compiler):
    size = {"shape": (100, 20, 70), "steps": 3 * engine.LATEST}
    expected = np.asarray(engine.delayed(0.1, **size)())
    assert np.abs(expected).max() > 0
    program = engine.delayed_c(0.1, **size)
    for _ in range(2):
        assert_same(program(), expected)
    assert not engine.delayed_c(0.0, **size)().any()
    assert not np.asarray(engine.delayed(0.0, **size)()).any()


def test_gradients_are_those_of_the_losses():
    size = {"size": 300, "steps": 50}
    loss, backward, gradient = (
        engine.loss(program, **size)() for program in ("loss", "backward", "gradient")
    )
    synapses = nnx.clone(engine._connected("varied", 300))
    weights = synapses.weights.get_value()
    (linear,), (quadratic,) = map(jax.tree.leaves, (backward, gradient))
    assert linear.shape == quadratic.shape == weights.shape
    # What is homogeneous of degree n in the weights is their product with its gradient, over n.
    assert float(quadratic @ weights) == pytest.approx(2 * float(loss), rel=1e-4)
    currents = synapses.scan(tracers.spikes((50, 300), engine.PROBABILITY)).value
    aim = np.random.default_rng(6).standard_normal(300, np.float32)
    assert float(linear @ weights) == pytest.approx(float(jnp.sum(currents @ aim)), rel=1e-4)


@pytest.mark.parametrize("connectivity", ["dense", "sparse"])
def test_a_new_process_prints_the_time_of_its_first_step(connectivity):
    assert float(start._process(start.first_call(connectivity, size=200))) > 0


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"the process failed: ValueError: so"):
        start.process("raise ValueError('so')")


@pytest.mark.parametrize(
    ("compiler", "why"),
    [(None, "it takes a compiler of C, and none is here"), ("/bin/false", "compiles no C")],
)
def test_without_a_compiler_the_reference_is_skipped(without, compiler, why):
    without(compiler)
    names = [f"engine/dense/100x100/activity=0.02/{each}" for each in ("c", "synapses")]
    found = answer(Task(cases=names, protocol=ONCE))
    assert found.error is None
    assert [timing.name for timing in found.timings] == names[1:]
    assert list(found.skipped) == names[:1]
    assert why in found.skipped[names[0]]


def test_on_another_device_nothing_is_measured(monkeypatch):
    names = [case.name for case in registry.select(patterns=["engine"])]
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    found = answer(Task(cases=names, protocol=ONCE))
    assert list(found.skipped) == names
    assert not found.timings


def test_every_row_has_a_reference():
    groups = registry.groups(registry.select(patterns=["engine/*"]))
    assert all(sum(case.reference for case in members) == 1 for members in groups.values())
    for size in (1000, 4000):
        for activity in ("0.5", "1"):
            assert f"engine/product/{size}x{size}/activity={activity}" in groups

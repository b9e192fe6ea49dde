"""How stored connections are built: by the CPU engine as by NumPy, in threads, in little memory."""

import builtins
import tracemalloc

import jax
import numpy as np
import pytest

import spark.nn.components.synapses._drawing as drawing
from spark.nn.components.synapses import (
    AllToAll,
    Block,
    BlockConnectivity,
    FixedFanOut,
    FixedInDegree,
    FixedTotal,
    LogNormal,
    Normal,
    OneToOne,
    RandomConnectivity,
    SparseConnectivity,
    Uniform,
)
from spark.nn.components.synapses._connect import laid_out
from spark.nn.components.synapses._drawing import engine
from spark.nn.components.synapses._drawing.assemble import planned

from .connected import built

# Between 110 inputs and 100 targets: what overlaps, with lines along either, few and most partners.
PARTS = [
    (OneToOne(), (3, 23), (40, 60)),
    (AllToAll(autapses=False), (5, 20), None),
    (RandomConnectivity(probability=0.3, autapses=False), None, None),
    (FixedFanOut(fan_out=7, autapses=False), (10, 60), (0, 30)),
    (FixedFanOut(fan_out=90, autapses=False), (10, 60), None),
    (FixedFanOut(fan_out=70, multapses=True), None, (0, 20)),
    (FixedInDegree(in_degree=8, autapses=False), (40, 60), None),
    (FixedInDegree(in_degree=80), None, (30, 60)),
    (FixedTotal(connections=50), (0, 20), (0, 20)),
    (FixedTotal(connections=2000, multapses=True, autapses=False), None, None),
]
LAWS = [
    (Normal(mean=1.0, std=2.0, low=-0.5), LogNormal(mean=0.3, std=0.5)),
    (Uniform(low=0.0, high=1.0), 1.0),
    (2.5, Normal(mean=3.0, std=1.0, low=0.0)),
    (LogNormal(mean=0.0, std=1.0, high=3.0), None),
]
BLOCKS = [
    Block(rule=rule, pre=pre, post=post, weights=weights, delays=delays)
    for rule, pre, post in PARTS
    for weights, delays in LAWS
]


def laid(monkeypatch, few, connectivity, dtype="float32", threads=4):
    """Connections of a network of 110 inputs and 100 targets, by NumPy up to so many."""
    monkeypatch.setattr(drawing, "_FEW", few)
    monkeypatch.setattr(engine, "_GRAIN", 64)
    monkeypatch.setattr(engine, "_threads", lambda: threads)
    return connectivity.lay_out(110, 100, jax.random.key(3), 0.1, dtype)


def assert_same(one, other, dtype="float32"):
    assert one.rows == other.rows
    for ours, theirs in zip(one.adjacency, other.adjacency, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert (one.weights is None) == (other.weights is None)
    if one.weights is not None:
        assert one.weights.dtype == other.weights.dtype == dtype
        # Logarithms and exponentials of two libraries differ in some last digits.
        eps = {"float16": 1e-3, "float32": 1e-7, "float64": 2e-16}[dtype]
        np.testing.assert_allclose(
            np.float64(one.weights), np.float64(other.weights), rtol=8 * eps, atol=8 * eps
        )


@pytest.mark.parametrize("blocks", [BLOCKS, *[[block] for block in BLOCKS[::3]]], ids=len)
def test_the_engine_draws_as_numpy_does(monkeypatch, blocks):
    connectivity = BlockConnectivity(blocks=blocks)
    assert_same(laid(monkeypatch, 1 << 30, connectivity), laid(monkeypatch, 0, connectivity))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_engine_draws_weights_of_other_dtypes(monkeypatch, x64, dtype):
    connectivity = BlockConnectivity(blocks=BLOCKS)
    ours, theirs = (laid(monkeypatch, few, connectivity, dtype) for few in (0, 1 << 30))
    assert_same(ours, theirs, dtype)


@pytest.mark.parametrize("few", [0, 1 << 30], ids=["engine", "numpy"])
@pytest.mark.parametrize("window", [(0, 55, 0, 100), (12, 50, 33, 61), (30, 31, 0, 50)])
def test_a_part_is_drawn_as_in_the_whole(monkeypatch, few, window):
    connectivity = BlockConnectivity(blocks=BLOCKS)
    whole = laid(monkeypatch, few, connectivity)
    pre, place = (np.asarray(each) for each in whole.rows.all(whole.adjacency))
    later, post = np.divmod(place, 100)
    i, j, k, m = window
    kept = (i <= pre) & (pre < j) & (k <= post) & (post < m)

    parts = connectivity._parts(110, 100)
    plan = planned(parts, 100, jax.random.key(3), 0.1, "float32")
    _, begun = plan.begin((0, 1, 0, 1), window)
    assert begun.size == kept.sum()
    found, size = plan.draw(begun, begun.size + 3), begun.size
    assert len(found.places) == size + 3
    np.testing.assert_array_equal(np.repeat(np.arange(i, j), np.diff(found.starts)), pre[kept])
    expected = later[kept] * (m - k) + post[kept] - k
    np.testing.assert_array_equal(found.places[:size], expected)
    np.testing.assert_array_equal(found.weights[:size], whole.weights[kept])


def test_threads_change_nothing(monkeypatch):
    connectivity = BlockConnectivity(blocks=BLOCKS)
    one, other = (laid(monkeypatch, 0, connectivity, threads=threads) for threads in (1, 5))
    assert_same(one, other)
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("count", [0, 5, 5000, 300_000])  # rows of several lengths
@pytest.mark.parametrize("weights", [None, "float16", "float32", "float64"])
@pytest.mark.parametrize("delayed", [False, True])
def test_lists_are_sorted_as_by_numpy(monkeypatch, count, weights, delayed):
    rng = np.random.default_rng(count)
    pre, post = rng.integers(0, 30, count, np.int32), rng.integers(0, 50, count)
    steps = rng.integers(0, 4000, count).astype(np.int32) if delayed else None
    values = None if weights is None else rng.normal(size=count).astype(weights)
    monkeypatch.setattr(engine, "_GRAIN", 64)
    found = []
    for few in (1 << 30, -1):
        monkeypatch.setattr(drawing, "_FEW", few)
        found.append(laid_out(pre, post, 30, 50, steps, values))
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)
    assert weights is None or found[1].weights.dtype == weights


def test_connections_are_drawn_without_numba(monkeypatch):
    rule = FixedFanOut(fan_out=20)
    expected = laid(monkeypatch, 0, rule)
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if args and args[2] and "engine" in args[2]:
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert_same(laid(monkeypatch, 0, rule), expected)


@pytest.mark.parametrize("kind", ["drawn", "listed"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_build_takes_little_memory(kind, dtype):
    size, count = 2000, 2_000_000
    normal, late = Normal(mean=80.0, std=8.0, low=0.0), Normal(mean=1.5, std=0.7, low=0.1)
    rules = [FixedTotal(connections=count // 2, multapses=True), FixedInDegree(in_degree=500)]
    if kind == "drawn":
        blocks = [Block(rule=rule, weights=normal, delays=late) for rule in rules]
        connectivity = BlockConnectivity(blocks=blocks)
    else:
        rng = np.random.default_rng(0)
        index = rng.integers(0, size, (2, count), np.int32)
        connectivity = SparseConnectivity(
            pre=index[0], post=index[1], weights=np.ones(count), delays=0.1 * (index[0] % 30)
        )
    built(connectivity, size, size, dt=0.1, kernel_dtype=dtype)  # what is compiled is there
    tracemalloc.start()
    module = built(connectivity, size, size, dt=0.1, kernel_dtype=dtype)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(module.kernel) == count
    arrays = [module.weights.get_value(), *(each.get_value() for each in module.matrix.adjacency)]
    stored = sum(array.nbytes for array in arrays)
    assert stored / count < (6.1 if dtype == "float16" else 8.1)
    # Of what NumPy allocates; what JAX does is the arrays that are kept, at most.
    assert (most + stored) / count < 30
    assert kept <= stored + 100_000


def test_a_random_weight_near_0_stays_one_in_half_precision():
    block = Block(rule=AllToAll(), weights=Uniform(low=0.0, high=1e-5))
    connectivity = BlockConnectivity(blocks=[block])
    module = built(connectivity, 100, 100, kernel_dtype="float16")
    assert np.all(np.asarray(module.kernel) > 0)

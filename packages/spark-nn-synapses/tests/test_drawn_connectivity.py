"""Connections that are drawn: by the laws of their distributions, and alike wherever they are."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
)

from .connected import built, pairs

# A correct program falls below this p-value once in a million runs; seeds are fixed.
UNLIKELY = 1e-6


@pytest.mark.parametrize("probability", [0.003, 0.1, 0.9])
def test_random_connections_are_binomial(probability):
    inputs, targets = 300, 400
    pre, post = pairs(RandomConnectivity(probability=probability), inputs, targets)
    found = np.zeros((inputs, targets), bool)
    found[pre, post] = True
    assert found.sum() == len(pre)  # none twice
    assert stats.binomtest(len(pre), inputs * targets, probability).pvalue > UNLIKELY
    for axis, size in ((1, targets), (0, inputs)):
        counts = found.sum(axis=axis)
        # As spread as binomial counts are, neither more nor less.
        spread = np.sum((counts - size * probability) ** 2)
        spread /= size * probability * (1 - probability)
        tail = stats.chi2(len(counts))
        assert min(tail.cdf(spread), tail.sf(spread)) > UNLIKELY


def test_inputs_are_connected_independently():
    pre, post = pairs(RandomConnectivity(probability=0.5), 64, 2000)
    found = np.zeros((64, 2000))
    found[pre, post] = 1
    # Of 2016 pairs of inputs, none correlates beyond six standard errors.
    off = np.corrcoef(found)[~np.eye(64, dtype=bool)]
    assert np.abs(off).max() < 6 / np.sqrt(2000)
    # Nor a target with the next of the same input, which gaps that are not geometric would do.
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 6 / np.sqrt(128e3)


def test_probability_1_connects_every_pair():
    pre, post = pairs(RandomConnectivity(probability=1), 3, 4)
    np.testing.assert_array_equal(pre * 4 + post, np.arange(12))


@pytest.mark.parametrize("fan_out", [1, 7, 20, 29, 40])
def test_fan_out_is_distinct_and_uniform(fan_out):
    inputs, targets = 2000, 40
    pre, post = pairs(FixedFanOut(fan_out=fan_out), inputs, targets)
    np.testing.assert_array_equal(pre, np.repeat(np.arange(inputs), fan_out))
    rows = post.reshape(inputs, fan_out)
    assert np.all(np.diff(rows, axis=1) > 0)
    if fan_out == targets:
        return
    # Drawn without replacement, counts are less spread than multinomial ones, by this factor.
    counts, mean = np.bincount(post, minlength=targets), inputs * fan_out / targets
    factor = (1 - fan_out / targets) * targets / (targets - 1)
    spread = np.sum((counts - mean) ** 2) / (mean * factor)
    tail = stats.chi2(targets - 1)
    assert min(tail.cdf(spread), tail.sf(spread)) > UNLIKELY


def test_all_sets_of_targets_are_as_likely():
    _, post = pairs(FixedFanOut(fan_out=2), 12_000, 5)
    counts = np.bincount(post.reshape(-1, 2) @ [5, 1])
    assert stats.chisquare(counts[counts > 0]).pvalue > UNLIKELY
    assert np.count_nonzero(counts) == 10


def test_procedural_targets_are_uniform_and_independent():
    # 37 is no power of two.
    pre, post = pairs(ProceduralConnectivity(fan_out=64), 1000, 37)
    np.testing.assert_array_equal(pre, np.repeat(np.arange(1000), 64))
    assert (post.min(), post.max()) == (0, 36)
    assert stats.chisquare(np.bincount(post)).pvalue > UNLIKELY
    rows = post.reshape(1000, 64)
    for one, other in ((rows[:, :-1], rows[:, 1:]), (rows[:-1], rows[1:])):
        joint = np.bincount((one * 37 + other).ravel(), minlength=37**2)
        assert stats.chisquare(joint).pvalue > UNLIKELY


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_procedural_weights_follow_their_law(law):
    connectivity = ProceduralConnectivity(fan_out=100, law=law)
    module = built(connectivity, 40, 10**6)
    module.kernel = [2.0, 3.0]
    found = np.asarray(module(np.ones(40, bool)))
    post = np.asarray(module.connections[1])
    # The few targets that are reached twice are left out.
    reached = np.bincount(post, minlength=10**6)
    found = found[reached == 1]
    assert len(found) > 3900
    expected = stats.uniform(2, 1) if law == "uniform" else stats.norm(2, 3)
    assert stats.kstest(found, expected.cdf).pvalue > UNLIKELY
    # Nor does a weight tell its target.
    correlation = np.corrcoef(found, np.flatnonzero(reached == 1))[0, 1]
    assert abs(correlation) < 6 / np.sqrt(len(found))


def test_seeds_draw_differently():
    for connectivity in (
        RandomConnectivity(probability=0.5),
        FixedFanOut(fan_out=10),
        ProceduralConnectivity(fan_out=10),
    ):
        one, same, other = (pairs(connectivity, 20, 30, seed=seed)[1] for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert len(one) != len(other) or np.any(one != other)


DIGEST = """
import hashlib
import jax
import numpy as np
from spark.nn.components.synapses import FixedFanOut, ProceduralConnectivity, RandomConnectivity

found = hashlib.sha256()
for connectivity in (
    RandomConnectivity(probability=0.1),
    FixedFanOut(fan_out=10),
    ProceduralConnectivity(fan_out=10),
):
    rows, adjacency, *_ = connectivity.connect(40, 50, jax.random.key(3))
    for array in (*adjacency, *rows.all(adjacency)):
        found.update(np.asarray(array).tobytes())
"""


def test_each_process_draws_the_same():
    # Of another hash seed, too.
    there = subprocess.run(
        [sys.executable, "-c", DIGEST + "print(found.hexdigest())"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {}
    exec(DIGEST, names)
    assert there.stdout.strip() == names["found"].hexdigest()


def test_connections_drawn_on_the_host_are_refused_inside_transforms():
    def currents(connectivity):
        return built(connectivity, 4, 5)(np.ones(4, bool)).value

    for connectivity in (RandomConnectivity(probability=0.5), FixedFanOut(fan_out=2)):
        with pytest.raises(ValueError, match="random connectivity is drawn outside of JAX transf"):
            jax.jit(lambda c=connectivity: currents(c))()
    law = ProceduralConnectivity(fan_out=2, law="constant")
    _, post = map(np.asarray, built(law, 4, 5).connections)
    for connectivity, expected in (
        (law, np.bincount(post, minlength=5)),
        (SparseConnectivity(pre=[0], post=[4], weights=[2.5]), [0, 0, 0, 0, 2.5]),
    ):
        inside = jax.jit(lambda c=connectivity: currents(c))()
        np.testing.assert_array_equal(inside, expected)


def test_an_ensemble_draws_differently():
    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def make(rngs):
        module = LinearSynapses(
            units=1000, rngs=rngs, connectivity=ProceduralConnectivity(fan_out=10), dtype="float32"
        )
        module.build({"spikes": InputSpec((4,))})
        return module

    modules = make(nnx.Rngs(0))
    found = nnx.vmap(lambda module, x: module(x), in_axes=(0, None))(modules, np.ones(4, bool))
    reached = np.asarray(found.value) != 0
    assert np.all(np.abs(reached.sum(axis=1) - 40) <= 10)
    assert not np.any(np.all(reached[0] == reached[1:], axis=1))

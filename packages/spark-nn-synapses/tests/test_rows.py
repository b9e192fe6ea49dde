"""Rows of connections: how they are read, and weights that are drawn instead of stored."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from spark.nn.components.synapses import FixedFanOut, ProceduralConnectivity, SparseConnectivity
from spark.nn.components.synapses._projections.at_once import all_at_once
from spark.nn.components.synapses._projections.row_sums import project_rows
from spark.nn.components.synapses._projections.rows import _below

from .graphs import with_zeros
from .kinds import normal, spikes

KEY = jax.random.key(0)


def test_rows_of_one_length_keep_no_starts():
    rows, (starts, places) = FixedFanOut(fan_out=3).connect(6, 7, KEY)[:2]
    assert (len(starts), len(places)) == (1, 18)
    pre, _ = rows.all((starts, places))
    assert np.bincount(pre).tolist() == [3] * 6
    given = SparseConnectivity(pre=[0, 0, 1], post=[2, 1, 0]).connect(6, 7, KEY)
    assert given.adjacency[0].tolist() == [0, 2, 3, 3, 3, 3, 3]
    assert [each.tolist() for each in given.rows.all(given.adjacency)] == [[0, 0, 1], [1, 2, 0]]


@pytest.mark.parametrize("limit", [1, 2, 37, 1 << 16, 100_003, 2**31 - 1])
def test_random_bits_below_a_limit_are_the_high_half_of_a_product(limit):
    bits = np.random.default_rng(0).integers(2**32, size=1000, dtype=np.uint32)
    bits[:2] = 0, 2**32 - 1
    expected = bits.astype(object) * limit >> 32
    np.testing.assert_array_equal(_below(bits, limit), expected.astype(np.int32))


XS = spikes(2, (5, 20)).astype(np.float32)
AIM = normal(3, (5, 7))


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_drawn_weights_are_linear_in_the_parameters_of_their_law(law):
    rows, adjacency, *_ = ProceduralConnectivity(fan_out=6, law=law).connect(20, 7, KEY)

    @jax.jit
    def run(parameters, xs):
        def loss(parameters, xs):
            sums = project_rows(rows, adjacency, parameters, xs, jnp.dtype("float32"))
            return jnp.vdot(sums, AIM), sums

        (_, sums), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(parameters, xs)
        return sums, gradients

    kernels = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, -0.5]], np.float32)
    parts = [np.asarray(run(kernel, XS)[0], np.float64) for kernel in kernels]
    # Up to 60 terms of size 3, in float32.
    close = {"rtol": 0, "atol": 1e-4}
    np.testing.assert_allclose(parts[2], 3 * parts[0] - 0.5 * parts[1], **close)
    pre, post = map(np.asarray, rows.all(adjacency))
    ones = XS @ with_zeros(np.ones(120), 7, 20, pre, post).T
    whole = parts[0] + parts[1] if law == "uniform" else parts[0]
    np.testing.assert_allclose(whole, ones, **close)

    _, (of_parameters, of_spikes) = run(kernels[2], XS)
    expected = [np.vdot(part, AIM) for part in parts[:2]]
    # 35 such sums.
    np.testing.assert_allclose(of_parameters, expected, rtol=0, atol=1e-3)
    # Linear in the spikes too.
    np.testing.assert_allclose(np.vdot(of_spikes, XS), np.vdot(parts[2], AIM), rtol=0, atol=1e-3)


@pytest.mark.parametrize("law", ["constant", "uniform", "normal"])
def test_a_cpu_and_every_other_device_draw_the_same(law):
    rows, adjacency, parameters, *_ = ProceduralConnectivity(fan_out=6, law=law).connect(20, 7, KEY)

    @functools.partial(jax.jit, static_argnums=2)
    def derivatives(parameters, xs, way):
        def loss(parameters, xs):
            sums = project_rows(rows, adjacency, parameters, xs, jnp.dtype("float32"), way)
            return jnp.vdot(sums, AIM), sums

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(parameters, xs)

    parameters = parameters.astype(np.float32)
    ours, theirs = (derivatives(parameters, XS, way) for way in ("events", "dense"))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        # Sums of up to 600 terms in another order; a quantile to some 1e-6 of itself.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_other_devices_draw_the_same_in_blocks_of_any_size():
    rows, adjacency, parameters, *_ = ProceduralConnectivity(fan_out=6).connect(20, 7, KEY)
    weights, now = jnp.asarray(parameters, "float32"), jnp.int32(0)
    sums = jnp.asarray(AIM, "float32")
    for of, operands, shape in (
        ("targets", (weights, XS), (5, 7)),
        ("inputs", (weights, sums), (5, 20)),
        ("weights", (XS, sums), (2,)),
    ):
        whole, blocks = (
            all_at_once(rows, adjacency, now, of, operands, jnp.dtype("float32"), shape, most)
            for most in (1 << 20, 6 * 8)  # twice 8 inputs, and 4 that are left over
        )
        # Sums of up to 600 terms in another order.
        np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-5)


def test_drawn_connections_do_not_depend_on_the_batch():
    rows, adjacency, *_ = ProceduralConnectivity(fan_out=6).connect(20, 7, KEY)
    run = jax.jit(project_rows, static_argnums=(0, 4))
    every, one = np.eye(20, dtype=bool)[:5], np.float32([2.0, 5.0])
    together = run(rows, adjacency, one, every, jnp.dtype("float32"))
    for i in range(5):
        alone = run(rows, adjacency, one, every[i], jnp.dtype("float32"))
        np.testing.assert_array_equal(together[i], alone)


def test_normal_quantiles_are_those_of_scipy():
    from spark.nn.components.synapses._cpu.normal import normal_quantile

    p = np.concatenate([np.linspace(1e-7, 1 - 1e-7, 1001), 2.0 ** -np.arange(2, 25)])
    # The relative accuracy that the source states, and rounding.
    np.testing.assert_allclose(
        [normal_quantile(x) for x in p], scipy.special.ndtri(p), rtol=1e-14, atol=1e-15
    )

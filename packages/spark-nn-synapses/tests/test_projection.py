"""Spikes times a kernel, in every way: against NumPy, at every rate and size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers.agreement import tolerance
from spark.nn.components.synapses.projection import WAYS, contributions, inputs_first, project

# Words of spikes hold 32 inputs; the last three kernels are large
# enough for "auto" to choose, and the very last for a product in parts.
SHAPES = [(0, 3), (1, 3), (31, 3), (32, 3), (33, 3), (131, 127), (1030, 17), (512, 513)]
every_way = pytest.mark.parametrize("way", WAYS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
# Each branch of the code: a small kernel is looked through for faults, a large one is not.
every_path = pytest.mark.parametrize(
    ("way", "shape"),
    [("dense", (33, 3)), ("dense", (131, 127)), ("events", (131, 127)), ("auto", (131, 127))],
    ids=str,
)

# One compiled program per way, shape and dtype.
run = jax.jit(project, static_argnums=2)


@functools.cache
def kernel(inputs, targets, dtype="float32"):
    """A kernel, and the same in float64."""
    values = np.random.default_rng(inputs).normal(size=(inputs, targets))
    stored = jnp.asarray(values, dtype)
    return stored, np.asarray(stored, np.float64)


def exactly(inputs, count, seed=0):
    """Spikes of so many inputs."""
    spikes = np.zeros(inputs, bool)
    spikes[np.random.default_rng(seed).permutation(inputs)[:count]] = True
    return spikes


def close(found, spikes, weights, factors=1):
    """Within the rounding of a sum, in any order, of products of so many factors of weights."""
    spikes = np.asarray(spikes, np.float64)
    terms = factors * (weights.shape[0] + 2)
    bound = terms * tolerance("sum", found.dtype) * (np.abs(spikes) @ np.abs(weights))
    assert np.all(np.abs(np.asarray(found, np.float64) - spikes @ weights) <= bound)


@every_shape
@every_way
def test_sums_are_right_at_every_rate(shape, way):
    inputs, _ = shape
    stored, weights = kernel(*shape)
    # "auto" leaves the events beyond two fifths of the inputs.
    for count in sorted({0, 1, 15, 16, 17, 2 * inputs // 5, 2 * inputs // 5 + 1, inputs}):
        spikes = exactly(inputs, min(count, inputs))
        found = run((stored,), spikes, way)
        assert found.dtype == np.float32
        close(found, spikes, weights)


@every_way
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_kernels_are_added_up_in_float32(way, dtype):
    stored, weights = kernel(131, 127, dtype)
    for count in (1, 131):
        spikes = exactly(131, count)
        found = run((stored,), spikes, way)
        assert found.dtype == np.float32
        close(found, spikes, weights)


@every_way
def test_double_precision(way, x64):
    stored, weights = kernel(33, 3, "float64")
    for count in (0, 1, 16, 17, 33):
        spikes = exactly(33, count)
        found = run((stored,), spikes, way)
        assert found.dtype == np.float64
        close(found, spikes, weights)


@every_way
def test_sums_are_in_the_dtype_that_they_are_for(way, x64):
    # Float32 would lose the 1.
    weights, spikes = jnp.array([[1e8], [1.0], [-1e8]], jnp.float32), np.ones(3, bool)
    assert project((weights,), spikes, way, np.float64).tolist() == [1.0]
    assert contributions((weights,), spikes[:, None], np.float64).dtype == np.float64
    graded = np.array([0, 1e-12, 0])
    assert project((weights,), graded, way, np.float64).tolist() == [1e-12]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_events_convert_no_row_that_is_silent(dtype):
    weights = jnp.zeros((1000, 1000), dtype)
    compiled = run.lower((weights,), np.zeros(1000, bool), "events").compile()
    # A few rows in float32, where the whole kernel would be 4 MB.
    assert compiled.memory_analysis().temp_size_in_bytes < 100_000


@every_path
def test_signed_and_graded_spikes(way, shape):
    stored, weights = kernel(*shape)
    graded = np.random.default_rng(1).normal(size=shape[0]) * exactly(shape[0], shape[0] // 3)
    graded = graded.astype(np.float32)
    graded[graded == 0] = -0.0
    close(run((stored,), graded, way), graded, weights)


@every_way
def test_integer_spikes_count(way):
    stored, weights = kernel(33, 3)
    signed = np.random.default_rng(2).integers(-2, 3, 33).astype(np.int8)
    close(run((stored,), signed, way), signed, weights)


@every_way
def test_several_factors_multiply(way):
    rng = np.random.default_rng(3)
    stored, weights = kernel(131, 127)
    per_input, per_synapse = rng.normal(size=(131, 1)), rng.normal(size=(131, 127))
    factors = (stored, jnp.asarray(per_input, "float32"), jnp.asarray(per_synapse, "float32"))
    for count in (5, 131):
        spikes = exactly(131, count)
        close(
            run(factors, spikes, way),
            spikes,
            weights * np.float32(per_input) * np.float32(per_synapse),
            factors=2,
        )


@every_way
def test_batches_of_mixed_rates(way):
    stored, weights = kernel(131, 127)
    spikes = np.stack([exactly(131, count) for count in (0, 1, 66, 2, 131, 65)]).reshape(2, 3, 131)
    found = run((stored,), spikes, way)
    assert found.shape == (2, 3, 127)
    close(found, spikes, weights)


@every_path
def test_an_empty_batch(way, shape):
    spikes = np.zeros((0, shape[0]), bool)
    assert run((kernel(*shape)[0],), spikes, way).shape == (0, shape[1])


@every_path
@pytest.mark.parametrize("fault", [np.nan, np.inf])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_fault_of_a_silent_input_stays_where_it_is(way, shape, fault, batch):
    inputs, targets = shape
    stored, weights = kernel(*shape)
    silent, speaking = 7, 3
    faulty = stored.at[silent].set(fault).at[speaking, 1].set(fault)
    sound = np.array(weights)
    sound[silent], sound[speaking] = 0, 0
    for count in (0, 2, inputs // 2, inputs):
        spikes = exactly(inputs, count)
        spikes[[silent, speaking]] = False
        rows = np.broadcast_to(spikes, (*batch, inputs))
        close(run((faulty,), rows, way), rows, sound)

        # Once its input spikes, a fault reaches its target, and no other.
        spikes[speaking] = True
        rows = np.broadcast_to(spikes, (*batch, inputs))
        found = np.asarray(run((faulty,), rows, way))
        assert not np.isfinite(found[..., 1]).any()
        others = np.delete(np.arange(targets), 1)
        weights_there = np.array(sound)
        weights_there[speaking] = weights[speaking]
        close(found[..., others], rows, weights_there[:, others])


@every_path
def test_a_spike_that_is_not_a_number_shows_in_every_target(way, shape):
    stored, _ = kernel(*shape)
    graded = exactly(shape[0], 2).astype(np.float32)
    graded[5] = np.nan
    assert np.isnan(run((stored,), graded, way)).all()


def dense_sum(weights, spikes):
    """The product whose derivative all ways have."""
    return jnp.einsum("...i,ij->...j", spikes, weights[0] * weights[1])


@every_path
def test_gradients_are_those_of_the_product_also_at_silent_inputs(way, shape):
    inputs, targets = shape
    rng = np.random.default_rng(4)
    stored, _ = kernel(*shape)
    weights = (stored, jnp.asarray(rng.normal(size=(inputs, 1)), "float32"))
    spikes = jnp.asarray(exactly(inputs, 5), "float32")
    aim = jnp.asarray(rng.normal(size=targets), "float32")

    def loss(project, weights, spikes):
        return jnp.sum(jnp.sin(project(weights, spikes)) * aim)

    found = jax.jit(jax.grad(functools.partial(loss, lambda w, s: project(w, s, way)), (0, 1)))
    expected = jax.grad(functools.partial(loss, dense_sum), (0, 1))
    for one, two in zip(
        jax.tree.leaves(found(weights, spikes)),
        jax.tree.leaves(expected(weights, spikes)),
        strict=True,
    ):
        # The same sums in another order.
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    tangents = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), "float32"), weights)
    push = jnp.asarray(rng.normal(size=inputs), "float32")
    _, forward = jax.jit(
        lambda w, s, dw, ds: jax.jvp(lambda w, s: project(w, s, way), (w, s), (dw, ds))
    )(weights, spikes, tangents, push)
    _, wanted = jax.jvp(dense_sum, (weights, spikes), (tangents, push))
    np.testing.assert_allclose(forward, wanted, rtol=1e-4, atol=1e-4)


@every_way
def test_second_derivatives(way):
    stored, weights = kernel(33, 3)
    spikes = jnp.asarray(exactly(33, 5), "float32")

    def loss(spikes):
        return jnp.sum(project((stored,), spikes, way) ** 2)

    # The Hessian of |s W|^2 is 2 W W^T.
    found = jax.jit(jax.hessian(loss))(spikes)
    np.testing.assert_allclose(found, 2 * weights @ weights.T, rtol=1e-4, atol=1e-4)


@every_path
@pytest.mark.parametrize(
    ("axes", "differentiated"),
    [((None, 0), False), ((0, None), False), ((0, 0), False), ((0, 0), True)],
)
def test_vmap_over_spikes_kernels_or_both(way, shape, axes, differentiated):
    inputs, _ = shape
    several = [kernel(inputs, shape[1])[0] * factor for factor in (1.0, -2.0, 0.5)]
    weights = (jnp.stack(several) if axes[0] == 0 else several[0],)
    rows = np.stack([exactly(inputs, count) for count in (1, inputs, 3)])
    spikes = jnp.asarray(rows if axes[1] == 0 else rows[0], "float32")

    def single(weights, spikes):
        return project(weights, spikes, way)

    def gradient(weights, spikes):
        return jax.grad(lambda w, s: jnp.sum(project(w, s, way) ** 2), 1)(weights, spikes)

    function = gradient if differentiated else single
    found = jax.jit(jax.vmap(function, axes))(weights, spikes)
    for i in range(3):
        w = np.asarray(several[i if axes[0] == 0 else 0], np.float64)
        s = np.asarray(rows[i if axes[1] == 0 else 0], np.float64)
        wanted = 2 * w @ (s @ w) if differentiated else s @ w
        np.testing.assert_allclose(found[i], wanted, rtol=1e-4, atol=1e-3)


@every_way
def test_rows_that_vary_with_the_loop_around_them(way):
    stored, weights = kernel(131, 127)
    rows = np.stack([exactly(131, count, seed=count) for count in (0, 3, 131, 40)])
    _, found = jax.jit(
        lambda w, xs: jax.lax.scan(lambda c, x: (c, project((w,), x, way)), None, xs)
    )(stored, rows)
    close(found, rows, weights)


def test_contributions_are_weight_times_spike():
    stored, weights = kernel(33, 3)
    faulty = stored.at[4].set(jnp.nan)
    spikes = exactly(33, 10)
    spikes[4] = False
    found = contributions((faulty,), spikes[:, None])
    expected = np.where(spikes[:, None], weights, 0)
    np.testing.assert_array_equal(np.asarray(found, np.float64), expected)


def test_gradients_of_contributions_reach_silent_connections():
    stored, weights = kernel(33, 3)
    spikes = jnp.zeros((33, 3)).at[2].set(0.5)

    def loss(spikes):
        return jnp.sum(contributions((stored,), spikes) * 3.0)

    np.testing.assert_allclose(jax.grad(loss)(spikes), 3 * weights, rtol=1e-6)


def test_inputs_first_puts_the_weights_of_an_input_side_by_side():
    whole = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    found = np.asarray(inputs_first(jnp.asarray(whole), 2))
    assert found.shape == (35, 6)
    np.testing.assert_array_equal(found[2 * 7 + 4], whole[:, :, 2, 4].reshape(-1))

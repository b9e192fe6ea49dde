"""Spikes times a kernel, in every way: against NumPy, at every rate and size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses._projections.base import WAYS
from spark.nn.components.synapses._projections.dense import project

# Each branch of the code: a small kernel is looked through for faults, a large one is not; and
# "auto" is dense where the kernel is small.
PATHS = [
    ("dense", (33, 3)),
    ("dense", (131, 127)),
    ("events", (131, 127)),
    ("auto", (131, 127)),
]
every_path = pytest.mark.parametrize(("way", "shape"), PATHS, ids=str)
every_way = pytest.mark.parametrize("way", WAYS)

# One compiled program per way, shape and dtype.
run = jax.jit(project, static_argnums=(2, 3))


@functools.cache
def kernel(inputs, targets, dtype="float32"):
    """A kernel, and the same in float64."""
    stored = np.random.default_rng(inputs).normal(size=(inputs, targets)).astype(jnp.dtype(dtype))
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


# Without inputs; events whose last word is not full; and a product in parts.
@pytest.mark.parametrize(
    ("way", "shape"),
    [*PATHS, ("dense", (0, 3)), ("events", (0, 3)), ("events", (33, 3)), ("dense", (512, 513))],
    ids=str,
)
def test_sums_are_right_at_every_rate(shape, way):
    inputs, _ = shape
    stored, weights = kernel(*shape)
    # "auto" leaves the events beyond two fifths of the inputs; events are added 16 at a time.
    for count in sorted({0, 1, 15, 16, 17, 2 * inputs // 5, 2 * inputs // 5 + 1, inputs}):
        spikes = exactly(inputs, min(count, inputs))
        found = run((stored,), spikes, way)
        assert found.dtype == np.float32
        close(found, spikes, weights)


@pytest.mark.parametrize(
    ("way", "dtype"),
    [("dense", "float16"), ("events", "bfloat16"), ("auto", "float16"), ("auto", "bfloat16")],
)
def test_half_precision_kernels_are_added_up_in_float32(way, dtype):
    stored, weights = kernel(131, 127, dtype)
    for count in (1, 131):
        spikes = exactly(131, count)
        found = run((stored,), spikes, way)
        assert found.dtype == np.float32
        close(found, spikes, weights)


@pytest.mark.parametrize(
    ("way", "shape", "dtype", "graded"),
    [
        ("dense", (33, 3), "float64", False),
        ("dense", (33, 3), "float32", True),
        ("events", (33, 3), "float32", False),
        ("auto", (131, 127), "float32", True),
    ],
)
def test_sums_are_in_the_dtype_that_they_are_for(way, shape, dtype, graded, x64):
    stored, weights = kernel(*shape, dtype)
    for count in (0, 1, 17, shape[0]):
        spikes = exactly(shape[0], count)
        if graded:
            # Of more digits than float32 has.
            spikes = spikes * np.random.default_rng(5).normal(size=shape[0])
        found = run((stored,), spikes, way, None if dtype == "float64" else np.dtype("float64"))
        assert found.dtype == np.float64
        close(found, spikes, weights)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_events_convert_no_row_that_is_silent(dtype):
    weights = jax.ShapeDtypeStruct((1000, 1000), dtype)
    compiled = run.lower((weights,), np.zeros(1000, bool), "events").compile()
    # A few rows in float32, where the whole kernel would be 4 MB.
    assert compiled.memory_analysis().temp_size_in_bytes < 100_000


@every_path
def test_signed_and_graded_spikes(way, shape):
    stored, weights = kernel(*shape)
    # Few, and so many that "auto" multiplies.
    for count in (shape[0], shape[0] // 3):
        graded = np.random.default_rng(1).normal(size=shape[0]) * exactly(shape[0], count)
        graded = graded.astype(np.float32)
        graded[graded == 0] = -0.0
        close(run((stored,), graded, way), graded, weights)
    # One that is not a number shows in every target.
    graded[5] = np.nan
    assert np.isnan(run((stored,), graded, way)).all()


def test_integer_spikes_count():
    stored, weights = kernel(33, 3)
    signed = np.random.default_rng(2).integers(-2, 3, 33).astype(np.int8)
    close(run((stored,), signed, "events"), signed, weights)


@pytest.mark.parametrize("way", ["dense", "events"])
def test_several_factors_multiply(way):
    rng = np.random.default_rng(3)
    stored, weights = kernel(131, 127)
    per_input = rng.normal(size=(131, 1)).astype(np.float32)
    per_synapse = rng.normal(size=(131, 127)).astype(np.float32)
    for count in (5, 131):
        spikes = exactly(131, count)
        found = run((stored, per_input, per_synapse), spikes, way)
        product = weights * per_input.astype(float) * per_synapse.astype(float)
        close(found, spikes, product, factors=2)


def test_a_nan_in_a_factor_of_a_silent_input_reaches_no_target():
    stored, weights = kernel(131, 127)
    spikes, factor = exactly(131, 5), np.full((131, 1), 2.0, np.float32)
    factor[~spikes] = np.nan
    for xs in (spikes, spikes.astype(np.float32)):
        close(run((stored, factor), xs, "events"), xs, 2 * weights)


@every_path
def test_batches_of_mixed_rates_and_faults_of_silent_inputs(way, shape):
    """A fault of a silent input stays where it is; once its input spikes, it reaches its target."""
    inputs, targets = shape
    stored, weights = kernel(*shape)
    counts = (0, 1, inputs // 2 + 1, 2, inputs, inputs // 2)
    batch = np.stack([exactly(inputs, count) for count in counts]).reshape(2, 3, inputs)
    found = run((stored,), batch, way)
    assert found.shape == (2, 3, targets)
    close(found, batch, weights)

    silent, speaking = 7, 3
    batch[..., [silent, speaking]] = False
    sound = np.array(weights)
    sound[silent], sound[speaking] = 0, 0
    spoken = np.array(sound)
    spoken[speaking] = weights[speaking]
    others = np.delete(np.arange(targets), 1)
    for fault in (np.nan, np.inf):
        faulty = np.array(stored)
        faulty[silent], faulty[speaking, 1] = fault, fault
        for xs in (batch, *batch[0]):
            close(run((faulty,), xs, way), xs, sound)
            spoken_xs = xs.copy()
            spoken_xs[..., speaking] = True
            found = np.asarray(run((faulty,), spoken_xs, way))
            assert not np.isfinite(found[..., 1]).any()
            close(found[..., others], spoken_xs, spoken[:, others])


@every_way
def test_an_empty_batch(way):
    spikes = np.zeros((0, 131), bool)
    assert run((kernel(131, 127)[0],), spikes, way).shape == (0, 127)


@pytest.mark.parametrize(("way", "shape"), [PATHS[0], PATHS[2]], ids=str)
def test_derivatives_are_those_of_the_product_also_at_silent_inputs(way, shape):
    inputs, targets = shape
    rng = np.random.default_rng(4)
    weights = kernel(*shape)[0], rng.normal(size=(inputs, 1)).astype(np.float32)
    spikes = exactly(inputs, 5).astype(np.float32)
    aim = rng.normal(size=targets).astype(np.float32)
    push = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32), (weights, spikes))

    @jax.jit
    def derivatives(weights, spikes, push):
        def loss(weights, spikes):
            return jnp.sum(jnp.sin(project(weights, spikes, way)) * aim)

        def gradient(spikes):
            return jax.grad(loss, (0, 1))(weights, spikes)

        forward = jax.jvp(lambda w, s: project(w, s, way), (weights, spikes), push)[1]
        first, second = jax.jvp(gradient, (spikes,), push[1:])
        return first, second[1], forward

    ((of_first, of_second), of_spikes), second, forward = derivatives(weights, spikes, push)

    one, two, x = (np.asarray(each, np.float64) for each in (*weights, spikes))
    (d_one, d_two), dx = jax.tree.map(lambda a: np.asarray(a, np.float64), push)
    w = one * two
    gain = np.cos(x @ w) * aim
    # Sums of up to 131 products of float32, and the sine of them.
    bound = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(of_first, np.outer(x, gain) * two, **bound)
    np.testing.assert_allclose(of_second[:, 0], (np.outer(x, gain) * one).sum(1), **bound)
    np.testing.assert_allclose(of_spikes, w @ gain, **bound)
    np.testing.assert_allclose(forward, dx @ w + x @ (d_one * two + one * d_two), **bound)
    # Of size 500.
    expected = -w @ (np.sin(x @ w) * aim * (dx @ w))
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-2)


# Every pair of a way and of what is mapped, and of that and whether it is differentiated.
@pytest.mark.parametrize(
    ("way", "shape", "axes", "differentiated"),
    [
        (*PATHS[0], (None, 0), False),
        (*PATHS[0], (0, 0), True),
        (*PATHS[2], (0, None), True),
        (*PATHS[2], (0, 0), False),
        (*PATHS[3], (None, 0), True),
        (*PATHS[3], (0, None), False),
    ],
    ids=str,
)
def test_vmap_over_spikes_kernels_or_both(way, shape, axes, differentiated):
    inputs, _ = shape
    several = np.stack([kernel(*shape)[0] * factor for factor in np.float32([1.0, -2.0, 0.5])])
    # Beside a factor that is mapped or not, one that never is.
    halves = np.full((inputs, 1), 0.5, np.float32)
    weights = (several if axes[0] == 0 else several[0], halves)
    rows = np.stack([exactly(inputs, count) for count in (1, inputs, 3)])
    spikes = np.asarray(rows if axes[1] == 0 else rows[0], "float32")

    def single(weights, spikes):
        return project(weights, spikes, way)

    def gradient(weights, spikes):
        return jax.grad(lambda w, s: jnp.sum(project(w, s, way) ** 2), 1)(weights, spikes)

    function = gradient if differentiated else single
    found = jax.jit(jax.vmap(function, ((axes[0], None), axes[1])))(weights, spikes)
    for i in range(3):
        w = 0.5 * np.asarray(several[i if axes[0] == 0 else 0], np.float64)
        s = np.asarray(rows[i if axes[1] == 0 else 0], np.float64)
        wanted = 2 * w @ (s @ w) if differentiated else s @ w
        # Sums of 131 or 127 products of float32, of size 1 000 at most.
        np.testing.assert_allclose(found[i], wanted, rtol=1e-4, atol=1e-3)


def test_rows_that_vary_with_the_loop_around_them():
    # In "auto", which chooses between all there is.
    stored, weights = kernel(131, 127)
    rows = np.stack([exactly(131, count, seed=count) for count in (0, 3, 131, 40)])
    _, found = jax.jit(
        lambda w, xs: jax.lax.scan(lambda c, x: (c, project((w,), x, "auto")), None, xs)
    )(stored, rows)
    close(found, rows, weights)

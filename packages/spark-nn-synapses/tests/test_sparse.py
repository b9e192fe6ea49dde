"""Spikes times a kernel of few connections: against the kernel with zeros, in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses._projections.row_sums import project_rows
from spark.nn.components.synapses.connectivity import stored_rows

from .comparing import same_gradients
from .graphs import GRAPHS, graded, matrix, weights_of
from .kinds import normal, spikes

pytestmark = pytest.mark.versions

FLOAT32 = jnp.dtype("float32")
every_way = pytest.mark.parametrize("way", ["dense", "events"])
# How rows are read makes no difference to what is multiplied at once, only whether they are even.
every_run = pytest.mark.parametrize(
    ("name", "way"),
    [*((name, "events") for name in GRAPHS), ("even", "dense"), ("uneven", "dense")],
)
many_runs = pytest.mark.parametrize(
    ("name", "way"),
    [("even", "events"), ("uneven", "events"), ("parts", "events"), ("uneven", "dense")],
)

# One compiled program per graph, way, shape and dtype.
run = jax.jit(project_rows, static_argnames=("rows", "dtype", "way"))


def project(name, weights, spikes, way="events", dtype=FLOAT32):
    rows, adjacency, *_ = GRAPHS[name]
    return run(rows, adjacency, weights, spikes, dtype=dtype, way=way)


def close(name, found, spikes, weights):
    """Within the rounding of a sum, in any order, of products of weights and spikes."""
    spikes, terms = np.asarray(spikes, np.float64), len(weights) + 2
    bound = terms * tolerance("sum", found.dtype) * (np.abs(spikes) @ matrix(name, np.abs(weights)))
    error = np.abs(np.asarray(found, np.float64) - spikes @ matrix(name, weights))
    assert np.all(error <= bound)


@every_run
def test_sums_are_right_at_every_rate(name, way):
    stored, weights = weights_of(name)
    inputs = GRAPHS[name][0].inputs
    for rate in (0.0, 0.1, 0.5, 1.0):
        xs = spikes(4, inputs, rate)
        found = project(name, stored, xs, way)
        assert found.dtype == np.float32
        close(name, found, xs, weights)


@every_way
def test_signed_and_graded_spikes_in_a_batch(way):
    stored, weights = weights_of("uneven")
    found = project("uneven", stored, graded(40, (2, 3)), way)
    assert found.shape == (2, 3, 50)
    close("uneven", found, graded(40, (2, 3)), weights)


@pytest.mark.parametrize(("way", "dtype"), [("dense", "float16"), ("events", "bfloat16")])
def test_half_precision_kernels_are_added_up_in_float32(way, dtype):
    stored, weights = weights_of("uneven", dtype)
    found = project("uneven", stored, np.ones(40, bool), way)
    assert found.dtype == np.float32
    close("uneven", found, np.ones(40), weights)


def test_a_shard_map_that_looks_for_what_differs_is_refused():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("devices",))
    weights, _ = weights_of("even")
    xs = np.ones((1, 40), bool)

    def sums(**options):
        along = jax.sharding.PartitionSpec("devices")
        return jax.jit(
            jax.shard_map(
                functools.partial(project, "even"),
                mesh=mesh,
                in_specs=(along, along),
                out_specs=along,
                **options,
            )
        )

    with pytest.raises(TypeError, match=r"sparse connections inside jax.shard_map need check_vma="):
        sums()(weights, xs)
    np.testing.assert_array_equal(sums(check_vma=False)(weights, xs), project("even", weights, xs))


@every_way
def test_without_a_batch_inputs_or_connections_sums_and_gradients_are_0(way):
    stored, _ = weights_of("uneven")
    rows, adjacency = stored_rows(np.zeros(0, int), np.zeros(0, int), 0, 3)
    nothing = np.zeros(0, np.float32)

    @jax.jit
    def every():
        def sums(xs):
            return project_rows(rows, adjacency, nothing, xs, FLOAT32, way)

        def loss(weights, xs):
            return jnp.sum(project("none", weights, xs, way))

        return (
            project("uneven", stored, np.zeros((0, 40), bool), way),
            sums(np.zeros((2, 0), bool)),
            jax.vmap(sums)(np.zeros((2, 3, 0), bool)),
            jax.grad(loss, (0, 1))(nothing, np.ones((2, 4), np.float32)),
        )

    no_batch, no_inputs, mapped, (of_weights, of_spikes) = every()
    assert no_batch.shape == (0, 50)
    assert no_inputs.tolist() == [[0.0] * 3] * 2
    assert mapped.tolist() == [[[0.0] * 3] * 3] * 2
    assert of_weights.shape == (0,)
    assert of_spikes.tolist() == [[0.0] * 4] * 2


@many_runs
def test_a_fault_of_a_silent_input_stays_where_it_is(name, way):
    rows, _, pre, post = GRAPHS[name]
    _, weights = weights_of(name)
    # Between two that spike, so that what is read beyond the end of a row is at fault.
    silent = list(range(1, rows.inputs, 2))
    sound = np.where(np.isin(pre, silent), 0.0, weights)
    xs = ~np.isin(np.arange(rows.inputs), silent)
    for fault in (np.nan, np.inf):
        faulty = np.where(np.isin(pre, silent), fault, weights).astype(np.float32)
        for given in (xs, xs.astype(np.float32)):
            close(name, project(name, faulty, given, way), xs, sound)
            # Once it spikes, a fault reaches its targets, and no other.
            given = given.copy()
            given[silent[3]] = True
            reached = np.isin(np.arange(rows.targets), post[pre == silent[3]])
            found = np.asarray(project(name, faulty, given, way))
            np.testing.assert_array_equal(~np.isfinite(found), reached)


@many_runs
def test_a_spike_that_is_not_a_number_shows_in_its_own_targets(name, way):
    rows, _, pre, post = GRAPHS[name]
    xs = np.ones(rows.inputs, np.float32)
    xs[9] = np.nan
    found = np.isnan(project(name, weights_of(name)[0], xs, way))
    np.testing.assert_array_equal(found, np.isin(np.arange(rows.targets), post[pre == 9]))


@pytest.mark.parametrize(("name", "way"), [("parts", "events"), ("uneven", "dense")])
def test_a_fault_in_a_cotangent_reaches_the_inputs_of_its_target_alone(name, way):
    *_, pre, post = GRAPHS[name]
    weights, _ = weights_of(name)

    @jax.jit
    def pull_back(xs, cotangent):
        return jax.vjp(lambda xs: project(name, weights, xs, way), xs)[1](cotangent)[0]

    cotangent = np.zeros((1, 50), np.float32)
    cotangent[0, 9] = np.nan
    found = pull_back(np.zeros((1, 40), np.float32), cotangent)
    np.testing.assert_array_equal(np.isnan(found[0]), np.isin(np.arange(40), pre[post == 9]))


def test_events_convert_no_row_that_is_silent():
    rows, adjacency = stored_rows(
        np.repeat(np.arange(1000), 1000), np.arange(10**6) % 1000, 1000, 1000
    )
    weights = jax.ShapeDtypeStruct((10**6,), "float16")
    lowered = run.lower(rows, adjacency, weights, np.zeros(1000, bool), dtype=FLOAT32, way="events")
    # A row in float32, where the whole kernel would be 4 MB.
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 100_000


# Derivatives.


@pytest.mark.parametrize(
    ("name", "way"), [("even", "events"), ("parts", "events"), ("uneven", "dense")]
)
def test_sums_and_derivatives_are_those_of_the_dense_kernel_in_float64(name, way, x64):
    rows, _, pre, post = GRAPHS[name]
    rng = np.random.default_rng(8)
    # Most inputs are silent.
    xs = rng.normal(size=(2, rows.inputs)) * (rng.random((2, rows.inputs)) < 0.3)
    at = rng.normal(size=len(pre)), xs
    push = rng.normal(size=len(pre)), rng.normal(size=xs.shape)
    aim = rng.normal(size=(2, rows.targets))

    def sums(weights, xs):
        return project(name, weights, xs, way, jnp.dtype("float64"))

    @jax.jit
    def derivatives(at, push):
        gradient = jax.grad(lambda *at: jnp.sum(jnp.sin(sums(*at)) * aim), (0, 1))
        value, forward = jax.jvp(sums, at, push)
        # Forward over reverse, and reverse over reverse.
        first, second = jax.jvp(gradient, at, push)
        _, pull_back = jax.vjp(gradient, *at)
        linear = jax.linear_transpose(functools.partial(sums, at[0]), xs)(aim)
        return value, forward, first, second, pull_back(push), linear

    value, forward, first, second, twice, (linear,) = derivatives(at, push)

    w, dw = matrix(name, at[0]), matrix(name, push[0])
    z, dz = xs @ w, push[1] @ w + xs @ dw
    gain, change = np.cos(z) * aim, -np.sin(z) * aim * dz

    def of_connections(xs, sums):
        return np.sum(xs[:, pre] * sums[:, post], axis=0)

    # Sums of up to 200 products, each rounded by 1e-16.
    same = functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
    same(value, z)
    same(forward, dz)
    same(first[0], of_connections(xs, gain))
    same(first[1], gain @ w.T)
    hessian = of_connections(push[1], gain) + of_connections(xs, change), gain @ dw.T + change @ w.T
    for found in (second, twice):
        same(found[0], hessian[0])
        same(found[1], hessian[1])
    same(linear, aim @ w.T)
    assert value.dtype == first[0].dtype == np.float64


@pytest.mark.parametrize(
    ("way", "axes"),
    [("events", (0, None)), ("events", (0, 0)), ("events", (None, 0)), ("dense", (None, 0))],
)
def test_vmap_over_weights_and_spikes(way, axes):
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, len(GRAPHS["uneven"][2]))).astype(np.float32)
    xs = (rng.normal(size=(2, 3, 40)) * spikes(2, (2, 3, 40))).astype(np.float32)
    given = [each if axis == 0 else each[0] for each, axis in zip((weights, xs), axes, strict=True)]

    def sums(weights, xs):
        return project("uneven", weights, xs, way)

    found = jax.jit(jax.vmap(sums, axes))(*given)
    for i in range(2):
        w, x = (e[i] if axis == 0 else e for e, axis in zip(given, axes, strict=True))
        # Some ten products of float32.
        expected = x.astype(float) @ matrix("uneven", w.astype(float))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-5)


def dense(name, weights, xs):
    """The same sums, of the kernel with zeros, in plain JAX."""
    rows, _, pre, post = GRAPHS[name]
    whole = jnp.zeros((rows.inputs, rows.targets), weights.dtype).at[pre, post].add(weights)
    return jnp.einsum("...i,ij->...j", xs, whole, precision="highest")


def test_derivatives_under_vmap_and_scan():
    rng = np.random.default_rng(8)
    weights, _ = weights_of("even")
    xs = (rng.normal(size=(3, 40)) * (rng.random((3, 40)) < 0.3)).astype(np.float32)
    aim = rng.normal(size=7).astype(np.float32)

    def derivatives(project, weights, xs):
        def loss(weights, x):
            return jnp.sum(jnp.sin(project("even", weights, x)) * aim)

        def total(weights, xs):
            def body(carry, x):
                # Little feeds back, or rounding errors would grow from step to step.
                return jnp.sin(project("even", weights, x + 0.1 * carry[0]) + carry), None

            return jnp.sum(lax.scan(jax.checkpoint(body), jnp.zeros(7), xs)[0] * aim)

        several = jnp.stack([weights, 2 * weights, -weights])
        of_both = jax.vmap(jax.grad(loss, (0, 1)))(several, xs)
        of_spikes = jax.vmap(jax.grad(loss, (0, 1)), (None, 0))(weights, xs)
        return *of_both, *of_spikes, *jax.grad(total, (0, 1))(weights, xs)

    ours, theirs = (
        jax.jit(functools.partial(derivatives, each))(weights, xs) for each in (project, dense)
    )
    same_gradients(ours, theirs)


@every_way
def test_booleans_have_no_derivative_and_leave_that_of_weights(way):
    *_, pre, post = GRAPHS["even"]
    weights, _ = weights_of("even")
    aim, xs = normal(9, 7), spikes(3, 40)

    @jax.jit
    def derivatives(weights, xs):
        def loss(weights, xs):
            return jnp.vdot(project("even", weights, xs, way), aim)

        nothing = np.zeros(40, jax.dtypes.float0)
        pushed = jax.jvp(loss, (weights, xs), (weights, nothing))
        return *pushed, jax.grad(loss)(weights, xs)

    value, push, found = derivatives(weights, xs)
    # Linear in the weights.
    np.testing.assert_allclose(push, value, rtol=1e-5)
    same_gradients([found], [xs[pre] * aim[post]])

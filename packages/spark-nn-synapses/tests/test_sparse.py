"""Spikes times a kernel of few connections: against the kernel with zeros, in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses._connect import stored_rows
from spark.nn.components.synapses._projections.row_sums import project_rows

from .graphs import FLOAT32, GRAPHS, graded, matrix, project, run, weights_of
from .kinds import spikes

pytestmark = pytest.mark.versions

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


def test_a_shard_map_that_checks_varying_axes_is_refused():
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
def test_a_faulty_weight_of_a_silent_input_reaches_no_target(name, way):
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

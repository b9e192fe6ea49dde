"""Sums that arrive some steps later: against SciPy, and the dense kernel of each delay in JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax import lax

from spark.nn.components.synapses._connect import stored_rows
from spark.nn.components.synapses._projections.row_sums import project_later

from .graphs import GRAPHS, graded, weights_of
from .kinds import normal

pytestmark = pytest.mark.versions

many_runs = pytest.mark.parametrize(
    ("name", "way"),
    [("even", "events"), ("uneven", "events"), ("parts", "events"), ("uneven", "dense")],
)


@functools.partial(jax.jit, static_argnums=(0, 5))
def later(rows, adjacency, weights, spikes, ring, way, now):
    return project_later(rows, adjacency, weights, spikes, ring, now, way)


def delayed(name, steps):
    """A graph with a delay of each connection."""
    rows, _, pre, post = GRAPHS[name]
    delays = np.random.default_rng(9).integers(steps, size=len(pre))
    delays[0] = steps - 1
    return *stored_rows(pre, post, rows.inputs, rows.targets, delays), pre, post, delays


@many_runs
@pytest.mark.parametrize("now", [0, 2])
def test_sums_arrive_when_they_are_due(name, way, now):
    rows, adjacency, pre, post, delays = delayed(name, 4)
    stored, weights = weights_of(name)
    xs, ring = graded(rows.inputs, (2, 3)), normal(7, (2, 3, 4, rows.targets))
    after, drive = later(rows, adjacency, stored, xs, ring, way, now)
    expected = ring.astype(float)
    for d in range(4):
        own = delays == d
        sums = scipy.sparse.coo_array(
            (weights[own], (pre[own], post[own])), (rows.inputs, rows.targets)
        )
        expected[:, :, (now + d) % 4] += xs.astype(float) @ sums.toarray()
    # Sums of up to 200 products, and numbers around 1.
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(drive, expected[:, :, now], **close)
    expected[:, :, now] = 0
    np.testing.assert_allclose(after, expected, **close)


@pytest.mark.parametrize("way", ["events", "dense"])
def test_derivatives_of_later_sums_are_those_of_the_dense_kernel_in_float64(way, x64):
    rows, adjacency, pre, post, delays = delayed("uneven", 4)
    rng = np.random.default_rng(8)
    xs = rng.normal(size=(6, 2, rows.inputs)) * (rng.random((6, 2, rows.inputs)) < 0.3)
    at = rng.normal(size=len(pre)), xs, rng.normal(size=(2, 4, rows.targets))
    push = jax.tree.map(lambda each: rng.normal(size=each.shape), at)
    aim = rng.normal(size=(6, 2, rows.targets))

    def ours(weights, xs, ring):
        def body(carry, x):
            ring, now = carry
            ring, drive = project_later(rows, adjacency, weights, x, ring, now, way)
            return (ring, (now + 1) % 4), drive

        (ring, _), drives = lax.scan(body, (ring, jnp.int32(0)), xs)
        return drives, jnp.roll(ring, -2, axis=1)

    def theirs(weights, xs, ring):
        whole = jnp.zeros((4, rows.inputs, rows.targets)).at[delays, pre, post].add(weights)

        def body(ring, x):
            ring = ring + jnp.einsum("bi,dit->bdt", x, whole, precision="highest")
            return jnp.roll(ring, -1, axis=1).at[:, -1].set(0.0), ring[:, 0]

        ring, drives = lax.scan(body, ring, xs)
        return drives, ring

    @functools.partial(jax.jit, static_argnums=0)
    def derivatives(project, at, push):
        def loss(*at):
            drives, ring = project(*at)
            return jnp.sum(jnp.sin(drives) * aim) + jnp.sum(jnp.cos(ring))

        def along(i):  # one of the three alone
            def of_one(each):
                return project(*at[:i], each, *at[i + 1 :])

            return jax.jvp(of_one, (at[i],), (push[i],))[1]

        gradient = jax.grad(loss, (0, 1, 2))
        every = [along(i) for i in range(3)]
        return project(*at), jax.jvp(project, at, push), every, *jax.jvp(gradient, at, push)

    found, expected = (derivatives(each, at, push) for each in (ours, theirs))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # Some hundred products, each rounded by 1e-16.
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axes", [(None, 0, 0, None), (0, None, 0, None), (None, None, 0, 0)])
def test_vmap_over_later_sums(axes):
    rows, adjacency, *_ = delayed("uneven", 4)
    weights, xs = normal(1, (2, len(weights_of("uneven")[0]))), graded(40, (2, 3))
    ring, now = normal(2, (2, 3, 4, 50)), np.array([1, 3], np.int32)
    given = [
        each if axis == 0 else each[0]
        for each, axis in zip((weights, xs, ring, now), axes, strict=True)
    ]

    def one(weights, xs, ring, now):
        return project_later(rows, adjacency, weights, xs, ring, now)

    found = jax.jit(jax.vmap(one, axes))(*given)
    for i in range(2):
        own = [each[i] if axis == 0 else each for each, axis in zip(given, axes, strict=True)]
        for several, single in zip(found, jax.jit(one)(*own), strict=True):
            np.testing.assert_array_equal(several[i], single)


@pytest.mark.parametrize("now", [-1, 4])
def test_a_cursor_outside_of_the_ring_is_refused(now):
    rows, adjacency, *_ = delayed("uneven", 4)
    stored, _ = weights_of("uneven")
    ring = jnp.zeros((4, rows.targets), "float32")
    with pytest.raises(Exception, match="a ring has no such step"):
        jax.block_until_ready(
            later(rows, adjacency, stored, np.ones(40, bool), ring, "events", now)
        )

"""Derivatives of sums along rows: those of the kernel with zeros, in NumPy and in JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from .comparing import same_gradients
from .graphs import GRAPHS, matrix, project, weights_of
from .kinds import normal, spikes

pytestmark = pytest.mark.versions

every_way = pytest.mark.parametrize("way", ["dense", "events"])


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

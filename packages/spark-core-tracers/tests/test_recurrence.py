"""The clip's derivative, and the pure recurrences: step, scan, reset, without any module."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import (
    Exponential,
    ExponentialParameters,
    ResourceUsage,
    ResourceUsageParameters,
)
from spark.core.tracers._maps import clip

from .kinds import spikes


def test_clip_has_derivative_one_inside_and_on_the_bounds_and_zero_outside():
    y = jnp.array([-0.1, 0.0, 0.5, 1.0, 1.1])
    np.testing.assert_array_equal(np.asarray(clip(y, 0.0, 1.0)), np.clip(y, 0, 1))
    expected = [0, 1, 1, 1, 0]
    reverse = jax.grad(lambda y: clip(y, 0.0, 1.0).sum())(y)
    np.testing.assert_array_equal(np.asarray(reverse), expected)
    forward = jax.jvp(lambda y: clip(y, 0.0, 1.0), (y,), (jnp.ones_like(y),))[1]
    np.testing.assert_array_equal(np.asarray(forward), expected)


def test_pure_step_and_scan_agree_without_a_module():
    recurrence = Exponential(dt=1.0)
    parameters = ExponentialParameters(tau=jnp.array([2.0, 30.0]))
    xs = jnp.asarray(spikes(0, (50, 2)))
    state = recurrence.init(parameters, (2,))
    final, ys = jax.jit(recurrence.scan)(parameters, state, xs)
    step = jax.jit(recurrence.step)
    for x, expected in zip(xs, ys, strict=True):
        state, y = step(parameters, state, x)
        # In one program and the other, a product and a sum may or may not be fused: one rounding.
        np.testing.assert_allclose(np.asarray(y), np.asarray(expected), rtol=3e-6)
    assert int(final.noise.steps) == 50


def test_vmap_over_parameters():
    recurrence = ResourceUsage(dt=1.0)
    xs = jnp.asarray(spikes(1, (40, 3)))

    @jax.jit
    def efficacies(scale):
        parameters = ResourceUsageParameters(jnp.float32(100), jnp.float32(10), scale)
        return recurrence.scan(parameters, recurrence.init(parameters, (3,)), xs)[1]

    scales = jnp.array([0.1, 0.5, 0.9])
    together = jax.jit(jax.vmap(efficacies))(scales)
    for scale, alone in zip(scales, together, strict=True):
        np.testing.assert_allclose(np.asarray(efficacies(scale)), np.asarray(alone), rtol=1e-6)


def test_recurrences_hash_and_compare_by_their_options():
    assert Exponential(1.0) == Exponential(1.0)
    assert hash(Exponential(1.0)) == hash(Exponential(1.0))
    assert Exponential(1.0) != Exponential(1.0, "euler")


def test_an_input_that_does_not_fit_is_refused_by_the_pure_step():
    recurrence = Exponential(dt=1.0)
    parameters = ExponentialParameters(tau=jnp.float32(2))
    state = recurrence.init(parameters, (2,))
    with pytest.raises(ValueError, match=r"x of shape \(3,\) does not broadcast to shape \(2,\)"):
        recurrence.step(parameters, state, jnp.ones(3))


def test_an_unknown_method_is_refused_by_the_pure_scan():
    recurrence = Exponential(dt=1.0)
    parameters = ExponentialParameters(tau=jnp.float32(2))
    with pytest.raises(ValueError, match="method must be one of 'auto'"):
        recurrence.scan(parameters, recurrence.init(parameters, (2,)), jnp.ones((3, 2)), "paralel")

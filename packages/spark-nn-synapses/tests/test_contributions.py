"""Weight times spike of each synapse, where each has a trace of its own."""

import jax
import jax.numpy as jnp
import numpy as np

from spark.nn.components.synapses._projections.per_synapse import contributions

from .kinds import normal, spikes

KERNEL = normal(0, (33, 3))


@jax.jit
def weighed(kernel, xs):
    return contributions((kernel,), xs)


def test_contributions_are_weight_times_spike():
    kernel, xs = KERNEL.copy(), spikes(1, 33)
    kernel[4], xs[4] = np.nan, False
    found = weighed(kernel, xs[:, None])
    np.testing.assert_array_equal(found, np.where(xs[:, None], KERNEL, 0))


def test_contributions_are_in_the_dtype_that_they_are_for(x64):
    found = jax.eval_shape(
        lambda w, s: contributions((w,), s, np.dtype("float64")),
        KERNEL,
        np.ones((33, 1), bool),
    )
    assert found.dtype == np.float64


def test_gradients_of_contributions_reach_silent_connections():
    xs = np.zeros((33, 3), np.float32)
    xs[2] = 0.5
    found = jax.jit(jax.grad(lambda xs: jnp.sum(weighed(KERNEL, xs) * 3.0)))(xs)
    # One product of float32.
    np.testing.assert_allclose(found, 3 * KERNEL, rtol=1e-6)

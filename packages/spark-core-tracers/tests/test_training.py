"""Fitting time constants by gradient, as the tutorial of the site does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from spark.core.tracers import Constant, DoubleTracer, RUTracer, Tracer

from .kinds import spikes

pytestmark = pytest.mark.versions


@pytest.fixture(autouse=True)
def _promotion_for_optax():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


TRAIN = spikes(0, (400, 1), rate=0.05)


def test_fit_of_a_trainable_tau_through_the_module():
    # A recorded response: tau 12, scale 0.8, and noise.
    noise = np.random.default_rng(1).normal(0, 0.02, (400, 1))
    target = np.asarray(Tracer(1, 12.0, 0.8, dtype="float32").scan(TRAIN)) + noise
    tracer = Tracer(1, 5.0, 1.0, dtype="float32", trainable=("tau", "scale"))
    optimizer = nnx.Optimizer(tracer, optax.adam(0.3), wrt=nnx.Param)

    @nnx.jit
    def update(tracer, optimizer):
        def loss(tracer):
            tracer.reset()
            return jnp.mean((tracer.scan(jnp.asarray(TRAIN)) - target.astype(np.float32)) ** 2)

        value, gradient = nnx.value_and_grad(loss)(tracer)
        optimizer.update(tracer, gradient)
        return value

    values = [float(update(tracer, optimizer)) for _ in range(300)]
    assert values[-1] < values[0] / 100
    # Noise of 0.02 on 400 samples of a response of about 0.5.
    assert float(tracer.tau[...]) == pytest.approx(12.0, rel=0.02)
    assert float(tracer.scale[...]) == pytest.approx(0.8, rel=0.02)
    assert float(tracer.base[...]) == 0.0  # a constant


def test_fit_of_a_double_tracer_with_positive_taus_by_parametrisation():
    noise = np.random.default_rng(2).normal(0, 0.02, (400, 1))
    target = np.asarray(DoubleTracer(1, 3.0, 15.0, dtype="float32").scan(TRAIN)) + noise
    tracer = DoubleTracer(1, 5.0, 6.0, dtype="float32")
    recurrence, state = tracer.recurrence, tracer.state
    xs, aim = jnp.asarray(TRAIN), jnp.asarray(target, jnp.float32)

    def loss(log_tau):
        tau_1, tau_2 = jnp.exp(log_tau)
        parameters = tracer.parameters._replace(tau_1=tau_1, tau_2=tau_2)
        return jnp.mean((recurrence.scan(parameters, state, xs)[1] - aim) ** 2)

    log_tau = jnp.log(jnp.array([5.0, 6.0]))
    optimizer = optax.adam(0.05)
    memory = optimizer.init(log_tau)

    @jax.jit
    def update(log_tau, memory):
        step, memory = optimizer.update(jax.grad(loss)(log_tau), memory)
        return optax.apply_updates(log_tau, step), memory

    for _ in range(400):
        log_tau, memory = update(log_tau, memory)
    # The impulse response does not say which stage comes first.
    np.testing.assert_allclose(np.sort(np.exp(log_tau)), [3.0, 15.0], rtol=0.02)


def test_parameters_are_picked_up_by_filters():
    tracer = RUTracer(3, 100.0, 20.0, 0.3, trainable=("R_tau", "scale_U"))
    assert set(nnx.state(tracer, nnx.Param)) == {"R_tau", "scale_U"}
    assert set(nnx.state(tracer, Constant)) == {"U_tau"}
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(tracer, nnx.Param))} == {
        jnp.dtype("float32")  # also where the traces are float16
    }
    one = Tracer(3, 100.0, trainable="tau")
    assert set(nnx.state(one, nnx.Param)) == {"tau"}

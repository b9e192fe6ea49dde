"""The potential of a membrane that our currents charge is the closed form, whatever the step."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from scipy.special import exprel

from spark.nn.components.synapses import InputSpec, TracedSynapses

TAU_MEMBRANE, RESISTANCE = 20.0, 0.1  # ms; mV per pA
TAU = np.array([10.0, 5.0, 20.0, 5.0])  # ms, by input; one is that of the membrane
WEIGHTS = np.array([-70.0, 30.0, 20.0, 50.0])  # pA
TIMES = np.array([7.0, 3.0, 12.0, 15.0])  # ms, of the spike of each input
DURATION = 60.0


def closed_form(t):
    """The potential at times `t`: a difference of exponentials for each spike."""
    since = np.maximum(t[:, None] - TIMES, 0.0)
    fast, slow = np.exp(-since / TAU), np.exp(-since / TAU_MEMBRANE)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = TAU / (TAU - TAU_MEMBRANE)
        apart = factor * (fast - slow)
    alike = since / TAU_MEMBRANE * slow
    return RESISTANCE * np.where(TAU == TAU_MEMBRANE, alike, apart) @ WEIGHTS


def potential(dt):
    """The potential after each step, and when that is, from the traces of `TracedSynapses`."""
    synapses = TracedSynapses(
        units=1, kernel_initializer=WEIGHTS[None], tau=TAU[None], dt=dt, dtype="float64"
    )
    synapses.build({"spikes": InputSpec(TAU.shape)})
    graph, state = nnx.split(synapses)
    tau = np.asarray(synapses.current_tracer.tau[...])
    decay = np.exp(-dt / TAU_MEMBRANE)
    gains = RESISTANCE * dt / TAU_MEMBRANE * decay * exprel(dt / TAU_MEMBRANE - dt / tau)

    def step(carry, spikes):
        state, v = carry
        synapses = nnx.merge(graph, state)
        synapses(spikes)
        v = decay * v + (gains * synapses.current_tracer.value).sum(axis=0)
        return (nnx.state(synapses), v), v[0]

    steps = round(DURATION / dt)
    train = np.zeros((steps, TAU.size), bool)
    train[np.rint(TIMES / dt).astype(int) - 1, np.arange(TAU.size)] = True
    _, found = lax.scan(step, (state, jnp.zeros(1)), jnp.asarray(train))
    # A spike is there at the end of its step, which is the start of the step of the membrane.
    return dt * np.arange(2, steps + 2), np.asarray(found)


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
def test_the_potential_is_the_difference_of_exponentials(dt, x64):
    t, found = potential(dt)
    expected = closed_form(t)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

"""sparx (distribution sparxml): its synapse kinetics, in one compiled scan."""

import jax
import jax.numpy as jnp
from sparx.dynamics import synapses

NAME = "sparx"
DISTRIBUTIONS = ("sparxml", "jax", "flax")


def exponential(xs, *, tau, dt, dtype, keep):
    """`Exponential`."""
    return _scanned(synapses.Exponential(tau), jnp.asarray(xs), xs.shape[1:], dt, dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """A dense product, and `Exponential` of its result."""
    weights = jnp.asarray(kernel, dtype)
    # For one vector, XLA's CPU product is fastest along the rows of a matrix.
    product = (lambda s: weights @ s) if spikes.ndim == 2 else (lambda s: s @ weights.T)
    shape = (*spikes.shape[1:-1], kernel.shape[0])
    model = synapses.Exponential(tau)
    return _scanned(model, jnp.asarray(spikes), shape, dt, dtype, keep, product)


def _scanned(model, inputs, shape, dt, dtype, keep, arriving=lambda x: x):
    @jax.jit
    def run(inputs):
        def step(state, x):
            state = model.step(state, arriving(x.astype(dtype)), dt)
            return state, _value(model, state) if keep == "every" else None

        last, every = jax.lax.scan(step, model.init_state(shape, jnp.dtype(dtype)), inputs)
        return every if keep == "every" else _value(model, last)

    return lambda: jax.block_until_ready(run(inputs))


def _value(model, state):
    """The waveform at the start of the coming step: right after the arrivals."""
    return sum(term.at(0.0) for term in model.output(state))

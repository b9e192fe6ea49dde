"""A trace per synapse in plain JAX: a synapse model, naively written down."""

import jax
import jax.numpy as jnp

NAME = "plain JAX, a trace per synapse"
DISTRIBUTIONS = ("jax",)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """One `lax.scan` over a state as large as the kernel (times the batch)."""
    weights, inputs = jnp.asarray(kernel, dtype), jnp.asarray(spikes)
    decay = jnp.exp(-dt / tau).astype(dtype)

    @jax.jit
    def run(weights, inputs):
        def step(traces, s):
            traces = decay * traces + weights * s[..., None, :].astype(dtype)
            return traces, traces.sum(-1)

        start = jnp.zeros((*inputs.shape[1:-1], *weights.shape), dtype)
        last, currents = jax.lax.scan(step, start, inputs)
        return currents if keep == "every" else last.sum(-1)

    return lambda: jax.block_until_ready(run(weights, inputs))

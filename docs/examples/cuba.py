"""CUBA: 4000 neurons whose synapses are currents."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.special import exprel

from spark.nn.components.synapses import (
    Block,
    BlockConnectivity,
    InputSpec,
    RandomConnectivity,
    TracedSynapses,
)

N, DT = 4000, 0.1  # neurons, the first 3200 excitatory; ms
TAU_M, HELD = 20.0, 49  # ms; steps without a change after a spike
REST, THRESHOLD, RESET = -49.0, -50.0, -60.0  # mV
pairs = RandomConnectivity(probability=0.02)
excitation = Block(rule=pairs, pre=(0, 3200), weights=1.62, delays=1.5)
inhibition = Block(rule=pairs, pre=(3200, N), weights=-9.0, delays=0.8)
CONNECTIONS = BlockConnectivity(blocks=[excitation, inhibition])


def connect(connectivity, **options):
    """Synapses with 5 ms for excitatory inputs and 10 ms for inhibitory ones."""
    tau = np.where(np.arange(N) < 3200, 5.0, 10.0)[None]
    options |= {"tau": tau, "dt": DT, "connectivity": connectivity}
    synapses = TracedSynapses(units=N, **options)
    synapses.build({"spikes": InputSpec((N,))})
    return synapses


def simulate(synapses, v, steps):
    """Spikes of each step, from the potentials `v` on."""
    tau = np.asarray(synapses.current_tracer.tau[...])  # 5, 10: (2, 1)
    decay = np.exp(-DT / TAU_M)
    gain = DT / TAU_M * decay * exprel(DT / TAU_M - DT / tau)
    graph, kernel, state = nnx.split(synapses, nnx.Param, ...)

    @jax.jit
    def run(kernel, state, v):
        def step(carry, _):
            state, v, held, spikes = carry
            synapses = nnx.merge(graph, kernel, state)
            synapses(spikes)
            g = synapses.current_tracer.value  # at the start of the step
            free = REST + decay * (v - REST) + (gain * g).sum(axis=0)
            v = jnp.where(held > 0, v, free)
            spikes = v > THRESHOLD
            held = jnp.where(spikes, HELD, jnp.maximum(held - 1, 0))
            state = nnx.state(synapses, nnx.Not(nnx.Param))
            return (state, jnp.where(spikes, RESET, v), held, spikes), spikes

        start = state, v, jnp.zeros(N, int), jnp.zeros(N, bool)
        return jax.lax.scan(step, start, length=steps)[1]

    return run(kernel, state, v)

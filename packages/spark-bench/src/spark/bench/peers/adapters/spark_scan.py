"""Spark, given the whole sequence beforehand: `TracedSynapses.scan` projects it in one go."""

import jax
import jax.numpy as jnp

from spark.nn.components.synapses import InputSpec, TracedSynapses

NAME = "spark, whole sequence"
DISTRIBUTIONS = ("spark-core-tracers", "spark-nn-synapses", "jax", "flax")


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """`TracedSynapses.scan`."""
    synapses = TracedSynapses(
        units=kernel.shape[:1], tau=tau, dtype=dtype, dt=dt, kernel_initializer=kernel
    )
    synapses.build({"spikes": InputSpec(kernel.shape[1:], batch=spikes.shape[1:-1])})
    inputs = jnp.asarray(spikes)

    def program():
        synapses.reset()
        every = jax.block_until_ready(synapses.scan(inputs).value)
        return every if keep == "every" else every[-1]

    return program

"""Spark, given the whole sequence beforehand: `TracedSynapses.scan` projects it in one go."""

import jax
import jax.numpy as jnp

from spark.nn.components.synapses import (
    InputSpec,
    RUTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
)

NAME = "spark, whole sequence"
DISTRIBUTIONS = ("spark-core-tracers", "spark-nn-synapses", "jax", "flax")


def current(spikes, kernel, *, keep, **parameters):
    """`TracedSynapses.scan`."""
    synapses = TracedSynapses(units=kernel.shape[:1], kernel_initializer=kernel, **parameters)
    return _scanned(synapses, spikes, keep)


def sparse(spikes, pre, post, weights, *, targets, keep, **parameters):
    """The same with `SparseConnectivity`."""
    connectivity = SparseConnectivity(pre=pre, post=post, weights=weights)
    return _scanned(
        TracedSynapses(units=targets, connectivity=connectivity, **parameters), spikes, keep
    )


def delayed(spikes, kernel, delays, *, keep, **parameters):
    """The same with a delay of each connection."""
    synapses = TracedSynapses(
        units=kernel.shape[:1], kernel_initializer=kernel, delays=delays, **parameters
    )
    return _scanned(synapses, spikes, keep)


def plastic(spikes, kernel, *, keep, **parameters):
    """`RUTracedSynapses.scan`."""
    synapses = RUTracedSynapses(units=kernel.shape[:1], kernel_initializer=kernel, **parameters)
    return _scanned(synapses, spikes, keep)


def _scanned(synapses, spikes, keep):
    synapses.build({"spikes": InputSpec(spikes.shape[-1:], batch=spikes.shape[1:-1])})
    inputs = jnp.asarray(spikes)

    def program():
        synapses.reset()
        every = jax.block_until_ready(synapses.scan(inputs).value)
        return every if keep == "every" else every[-1]

    return program

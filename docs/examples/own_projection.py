"""Divisive normalization: the more inputs spike, the less each counts."""

import jax.numpy as jnp

from spark.nn.components.synapses import (
    Projection,
    TracedSynapses,
    TracedSynapsesConfig,
    project,
)


class Normalized(Projection):
    """Weights times spikes, divided by one more than the number of spikes."""

    def apply(self, parameters, carry, x):
        front, spikes = self.flat(x)
        sums = project(parameters.weights, spikes, self.way)
        dtype = self.dtype_of(parameters)
        active = jnp.abs(spikes.astype(dtype)).sum(-1, keepdims=True)
        normalized = sums.astype(dtype) / (1 + active)
        return carry, normalized.reshape(*front, *self.units)


class NormalizedSynapsesConfig(TracedSynapsesConfig):
    """The fields of `TracedSynapsesConfig`."""

    projection_class = Normalized


class NormalizedSynapses(TracedSynapses):
    """Traced synapses whose drive is normalized."""

    config_class = NormalizedSynapsesConfig

"""Connections laid out, with a module and without."""

import jax
import numpy as np

from spark.nn.components.synapses import InputSpec, LinearSynapses


def built(connectivity, inputs, units, **kwargs):
    """Linear synapses with a connectivity."""
    options = {"dtype": "float32", "seed": 0, **kwargs}
    module = LinearSynapses(units=units, connectivity=connectivity, **options)
    module.build({"spikes": InputSpec((inputs,) if isinstance(inputs, int) else inputs)})
    return module


def pairs(connectivity, inputs, targets, seed=0):
    """Input and target of each connection, without a module."""
    rows, adjacency, *_ = connectivity.connect(inputs, targets, jax.random.key(seed))
    return tuple(map(np.asarray, rows.all(adjacency)))

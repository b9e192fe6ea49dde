"""Synapses on eight devices, saved on one mesh and resumed on the same and on others."""

import sys

import jax
import numpy as np
from jax.sharding import Mesh

from spark.core import checkpoints
from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import InputSpec, Partition, TracedSynapses

INPUTS, BATCH, TIME = 64, 8, 20


def make(seed=0, **cut):
    """Synapses in float16, cut as said."""
    synapses = TracedSynapses(units=32, tau=20.0, projection="events", seed=seed)
    devices = np.array(jax.devices()).reshape(tuple(cut.values()))
    partition = Partition(Mesh(devices, tuple(cut)), **{name: name for name in cut})
    synapses.build({"spikes": InputSpec((INPUTS,), batch=(BATCH,))}, partition=partition)
    return synapses


def main(folder):
    """Compare what goes on with what was never cut."""
    xs = np.random.default_rng(0).random((TIME, BATCH, INPUTS)) < 0.2
    whole = make(targets=8)
    expected = np.asarray(whole.scan(xs, "sequential").value)
    first = make(targets=8)
    first.scan(xs[:7], "sequential")
    checkpoints.save(folder, 7, first)
    for cut in ({"targets": 8}, {"targets": 4, "batch": 2}, {"batch": 8}, {"inputs": 8}):
        resumed = make(seed=1, **cut)
        assert checkpoints.restore(folder, resumed) == 7
        assert resumed.current_tracer.rng.count[...] == 7
        where = resumed.weights.get_value().sharding.spec
        names = resumed.matrix.partition
        assert tuple(where) == (names.inputs, names.targets), where
        found = np.asarray(resumed.scan(xs[7:], "sequential").value)
        if "inputs" in cut:
            slack = tolerance("crossing", "float16") * np.abs(expected).max()
            np.testing.assert_allclose(found, expected[7:], rtol=0, atol=slack)
        else:
            np.testing.assert_array_equal(found, expected[7:])
    print("resumed")


if __name__ == "__main__":
    main(sys.argv[1])

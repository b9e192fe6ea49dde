"""Synapses with each kind of delay."""

import numpy as np

from spark.nn.components.synapses import InputSpec, SparseConnectivity

from .kinds import TRACED, normal, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (30, 5))
OF_INPUTS = np.array([0, 3, 1, 7, 3])
OF_CONNECTIONS = np.random.default_rng(2).integers(0, 6, (3, 5))
# Connections of 5 inputs to 3 targets, with one that comes twice, after two delays; in the order of
# the kernel: of inputs, then of delays.
PRE, POST, STEPS = np.array(
    [[0, 0, 1, 3, 3, 3, 4, 4], [2, 0, 1, 1, 0, 2, 2, 2], [0, 2, 5, 0, 1, 4, 3, 6]]
)
WEIGHTS = normal(3, 8)
LATE = SparseConnectivity(pre=PRE, post=POST, delays=STEPS)

# Synapses with each kind of delay.
CASES = {
    "all": {"kernel": KERNEL, "delays": 2.0},
    "inputs": {"kernel": KERNEL, "delays": OF_INPUTS},
    "connections": {"kernel": KERNEL, "delays": OF_CONNECTIONS},
    "sparse": {"kernel": WEIGHTS, "connectivity": LATE},
}


def make(case, batch=None, **kwargs):
    module = TRACED.make(**{**CASES[case], **kwargs})
    module.build({"spikes": InputSpec((5,), batch=() if batch is None else batch)})
    return module

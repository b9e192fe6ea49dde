"""What `nnx.tabulate` shows of every kind of module."""

import itertools

import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    Delays,
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    RUTracedSynapses,
    SparseConnectivity,
    SpikeArray,
    TracedSynapses,
)

from .kinds import spikes

pytestmark = pytest.mark.versions

XS = spikes(1, (12, 5))
SPEC = {"spikes": InputSpec((5,))}
TABULATED = {
    "linear": lambda: LinearSynapses(units=3),
    "traced": lambda: TracedSynapses(units=3),
    "double": lambda: DoubleTracedSynapses(units=3),
    "plastic": lambda: RUTracedSynapses(units=3),
    "groups": lambda: TracedSynapses(units=3, tau=np.array([[4.0, 9.0, 4.0, 4.0, 9.0]])),
    "delays-of-inputs": lambda: TracedSynapses(units=3, delays=2.0),
    "delays-of-connections": lambda: TracedSynapses(units=3, delays=np.ones((3, 5))),
    "stored": lambda: TracedSynapses(
        units=3, connectivity=SparseConnectivity(pre=[0, 4], post=[0, 2])
    ),
    "delays": lambda: Delays(5, 2.0),
    "no-delays": lambda: Delays(5, 0.0),
    "each-delays": lambda: Delays(5, np.ones((3, 5)), 3),
}
GIVEN = [XS[0], SpikeArray(XS[0]), SpikeArray(XS[0], np.array([True, False, False, True, False]))]


@pytest.mark.parametrize(
    ("name", "given"), list(zip(TABULATED, itertools.cycle(GIVEN))), ids=list(TABULATED)
)
def test_tabulate(name, given):
    module = TABULATED[name]()
    if not isinstance(module, Delays):
        module.build(SPEC)
    expected = np.asarray(nnx.clone(module)(XS[0]))
    # The operations are counted in a compiled program, the same for each of these.
    counted = name in ("groups", "delays")
    table = nnx.tabulate(module, given, compute_flops=counted)
    assert type(module).__name__ in table
    assert ("flops" in table) == counted
    if name in ("plastic", "delays"):
        assert "scan" in nnx.tabulate(module, SpikeArray(XS), method="scan")
    # The class is as it was, and so is the module.
    np.testing.assert_array_equal(module(XS[0]), expected)

"""Which shapes of delays are taken, what they make of buffers, and what is refused."""

import numpy as np
import pytest

from spark.nn.components.synapses import (
    InputSpec,
    SparseConnectivity,
    TracedSynapses,
    TracedSynapsesConfig,
)
from spark.nn.configs import ConfigError

from .comparing import CLOSE
from .delayed import KERNEL, LATE, OF_INPUTS, POST, PRE, STEPS, WEIGHTS, XS, make
from .kinds import LINEAR, TRACED, normal, spikes
from .shifted import of_connections, shifted


def test_no_delay_keeps_no_buffer():
    for delays in (0.0, np.zeros(5), np.zeros((3, 5)), np.zeros((1, 5))):
        module = TRACED.make(KERNEL, delays=delays)
        np.testing.assert_allclose(module.scan(XS), TRACED.currents(KERNEL, XS), **CLOSE)
        assert module.delay_line is None
        assert module.matrix.pending is None
        assert module.matrix.rows is None
    none = SparseConnectivity(pre=PRE, post=POST, delays=0.0 * STEPS)
    module = TRACED.make(WEIGHTS, connectivity=none)
    module.build({"spikes": InputSpec((5,))})
    assert module.matrix.pending is None
    assert module.matrix.rows.steps == 1


def test_buffers_are_as_long_as_the_longest_delay():
    module = make("inputs")
    assert module.delay_line.slots[...].shape == (8, 5)
    assert module.matrix.pending is None
    module = make("sparse")
    assert module.delay_line is None
    assert module.matrix.pending.slots[...].shape == (7, 3)


def test_shapes_of_delays():
    # The same for all targets.
    module = LINEAR.make(KERNEL, delays=OF_INPUTS[None])
    expected = LINEAR.currents(KERNEL, shifted(XS, OF_INPUTS))
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    # Of each target.
    of_targets = np.array([[2], [0], [5]])
    module = LINEAR.make(KERNEL, delays=of_targets)
    late = of_connections(XS, np.broadcast_to(of_targets, (3, 5)))
    expected = LINEAR.currents(KERNEL, late, async_spikes=True)
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    # Several axes.
    xs, steps = spikes(5, (20, 2, 2)), np.arange(24).reshape(3, 2, 2, 2) % 5
    kernel = normal(8, (3, 2, 2, 2))
    module = LINEAR.make(kernel, (3, 2), delays=steps)
    late = shifted(np.broadcast_to(xs[:, None, None], (20, 3, 2, 2, 2)), steps)
    expected = LINEAR.currents(kernel, late, 2, async_spikes=True)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)


WRONG = [
    ({"delays": 0.5}, "delays must be whole multiples of dt = 1, 0 or more; got 0.5"),
    ({"delays": [1.0, -1.0]}, r"delays must be whole .* 0 or more; got -1 at index \(1,\)"),
    ({"delays": np.nan}, "delays must be finite"),
    ({"delays": "late"}, "delays must be a number or an array of numbers"),
    ({"delays": 1.0, "async_spikes": True}, "async_spikes, .* go with no delays"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_configuration_refuses(arguments, message):
    with pytest.raises(ConfigError, match=f"TracedSynapsesConfig: {message}"):
        TracedSynapsesConfig(units=3, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"delays": np.ones(4)},
            r"delays must be a scalar or of shape \(5,\), .* got shape \(4,\)",
        ),
        ({"delays": np.ones((3, 4))}, r"broadcastable to \(3, 5\), .* got shape \(3, 4\)"),
        ({"delays": 1.0, "connectivity": LATE}, "delays are given twice"),
        (
            {"connectivity": SparseConnectivity(pre=[0], post=[0], delays=[0.5])},
            "delays of the connectivity must be whole multiples",
        ),
    ],
)
def test_build_refuses(arguments, message):
    module = TracedSynapses(units=3, **arguments)
    with pytest.raises(ValueError, match=message):
        module.build({"spikes": InputSpec((5,))})
    assert module.chain is None
    assert module.delay_line is None
    assert module.matrix is None

"""Short-term plasticity with sparse connections, delays, checkpoints and configurations."""

import jax
import numpy as np
import pytest
from flax import nnx

from spark.core import checkpoints
from spark.nn.components.synapses import InputSpec, RUTracedSynapsesConfig, SparseConnectivity
from spark.nn.configs import ConfigError

from .comparing import CLOSE, by_steps
from .kinds import TRACED, normal
from .releasing import KERNEL, RELEASE, SPEC, XS, make, released


def test_parameters_belong_to_the_tracer_that_uses_them():
    module = make(trainable=("R_tau", "tau"))
    module.build(SPEC)
    state = nnx.state(module, nnx.Param)
    assert set(state) == {"matrix", "release_tracer", "current_tracer"}
    assert set(state["release_tracer"]) == {"R_tau"}
    assert set(state["current_tracer"]) == {"tau"}


PRE, POST = np.array([0, 0, 1, 3, 3, 3, 4, 4]), np.array([2, 0, 1, 1, 0, 2, 1, 2])
STEPS = np.array([0, 2, 5, 0, 1, 4, 3, 6])
WEIGHTS = normal(9, 8)


def whole(steps):
    """The dense kernel of the connections with a delay."""
    kernel = np.zeros((3, 5))
    kernel[POST[steps == STEPS], PRE[steps == STEPS]] = WEIGHTS[steps == STEPS]
    return kernel


def later(xs, steps):
    return np.concatenate([np.zeros((steps, *xs.shape[1:])), xs])[: len(xs)]


def together():
    """Sparse connections with delays of their own, and their currents."""
    connected = SparseConnectivity(pre=PRE, post=POST, delays=STEPS)
    out = released(XS, **RELEASE)
    expected = sum(
        TRACED.currents(whole(steps), later(out, steps), base=0.0) for steps in set(STEPS)
    )
    return make(WEIGHTS, connectivity=connected), expected + TRACED.arguments["base"]


def test_sparse_connections_with_delays_and_a_reset_to_rest():
    module, expected = together()
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    module.reset()
    usage, resources = module.release_tracer.state.traces
    assert (np.asarray(usage) == 0).all()
    assert (np.asarray(resources) == 1).all()
    assert (np.asarray(module.matrix.pending.slots[...]) == 0).all()
    np.testing.assert_allclose(by_steps(module, XS), expected, **CLOSE)


def test_a_spike_releases_when_it_comes_and_arrives_later():
    of_inputs = np.array([0, 3, 1, 7, 3])
    out = released(XS, **RELEASE)
    late = np.stack([later(out[:, i], of_inputs[i]) for i in range(5)], 1)
    module = make(delays=of_inputs)
    np.testing.assert_allclose(module.scan(XS), TRACED.currents(KERNEL, late), **CLOSE)


def test_a_scan_of_nnx_keeps_the_state():
    module, expected = together()
    module.build(SPEC)

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def run(module, x):
        return module, module(x).value

    module, found = run(module, XS)
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert int(module.matrix.pending.cursor[...]) == 40 % 7


def test_a_checkpoint_keeps_connections_and_pending_sums(tmp_path):
    module, expected = together()
    module.scan(XS[:20])
    checkpoints.save(tmp_path, 20, module)
    # Other connections, as many, and other weights.
    other = SparseConnectivity(pre=PRE, post=POST[::-1], delays=STEPS[::-1])
    fresh = make(np.zeros(8), connectivity=other)
    fresh.build(SPEC)
    checkpoints.restore(tmp_path, fresh)
    np.testing.assert_array_equal(fresh.kernel, module.kernel)
    found = fresh.scan(XS[20:])
    np.testing.assert_array_equal(found, module.scan(XS[20:]))
    np.testing.assert_allclose(found, expected[20:], **CLOSE)


WRONG = [
    ({"scale_U": 1.5}, r"scale_U must lie in \[0, 1\], got 1.5"),
    ({"R_tau": 0.0}, "R_tau must be > 0, got 0"),
    ({"U_tau": [1.0, -1.0]}, r"U_tau must be > 0, got -1.0 at index \(1,\)"),
    (
        {"R_tau": 20_000.0, "rounding": "nearest", "dtype": "float16"},
        r"R_tau must be at most 2047\.5 to decay in float16 rounded to nearest, got 20000",
    ),
    ({"trainable": "usage"}, "trainable must name some of tau, scale, base, R_tau, U_tau, scale_U"),
    ({"async_spikes": True}, "async_spikes must be False, got True"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_configuration_refuses(arguments, message):
    with pytest.raises(ConfigError, match=f"RUTracedSynapsesConfig: {message}"):
        RUTracedSynapsesConfig(units=3, **arguments)


def test_a_refused_build_leaves_the_module():
    for arguments, message in (
        ({"U_tau": np.ones(4)}, "U_tau of shape .* does not broadcast"),
        ({"tau": np.ones(4)}, "tau must be a scalar or of shape"),
    ):
        module = make(**arguments)
        with pytest.raises(ValueError, match=message):
            module.build(SPEC)
        assert module.chain is None
        assert module.release_tracer is None
        assert module.current_tracer is None


def test_a_configuration_is_kept_by_a_file(tmp_path):
    config = RUTracedSynapsesConfig(units=3, trainable=("scale_U",), delays=2.0, **RELEASE)
    config.to_file(tmp_path / "config.json")
    read = RUTracedSynapsesConfig.from_file(tmp_path / "config.json")
    assert read == config
    assert hash(read) == hash(config)


def test_rounding_of_the_two_tracers_is_independent():
    module = make(np.ones((3, 3)), "float16", U_tau=20.0)
    module.build({"spikes": InputSpec((3,))})
    keys = [
        jax.random.key_data(tracer.rng.key[...])
        for tracer in (module.release_tracer, module.current_tracer)
    ]
    assert not np.array_equal(*keys)

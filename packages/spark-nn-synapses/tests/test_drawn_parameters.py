"""Parameters drawn from a distribution: by their law, independent, and as given arrays act."""

import jax
import numpy as np
import pytest
from flax import nnx
from scipy import stats
from scipy.signal import lfilter

from spark.nn.components.synapses import (
    AllToAll,
    DoubleTracedSynapses,
    DoubleTracedSynapsesConfig,
    Drawn,
    FixedFanOut,
    InputSpec,
    LogNormal,
    Normal,
    ProceduralConnectivity,
    RUTracedSynapses,
    RUTracedSynapsesConfig,
    SaturatingTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
    TracedSynapsesConfig,
    Uniform,
)
from spark.nn.configs import ConfigError

from .comparing import CLOSE, by_steps
from .kinds import spikes

INPUTS, TARGETS = 40, 30
UNLIKELY = 1e-6  # as in the tests of other draws
TAU, PART = Uniform(low=2.0, high=9.0), Uniform(low=0.0, high=1.0)


def per(what, distribution):
    return Drawn(distribution=distribution, per=what)


def made(cls=TracedSynapses, inputs=(INPUTS,), units=TARGETS, **more):
    module = cls(units=units, **{"dtype": "float32", "seed": 3, **more})
    module.build({"spikes": InputSpec(inputs)})
    return module


def values(module, name):
    """The drawn values of a parameter, in the shape that could have been given."""
    if name in module.gains:
        return np.asarray(module.gains[name][...])
    for tracer in (module.current_tracer, module.release_tracer):
        if hasattr(tracer, name):
            return np.asarray(getattr(tracer, name)[...])
    raise AssertionError(name)


LAWS = {
    "uniform": (Uniform(low=2.0, high=9.0), stats.uniform(2, 7).cdf),
    "normal": (Normal(mean=5.0, std=2.0, low=1.0), stats.truncnorm(-2, np.inf, 5, 2).cdf),
    "lognormal": (LogNormal(mean=1.0, std=0.5), stats.lognorm(0.5, scale=np.e).cdf),
}
FAN_OUT = FixedFanOut(fan_out=20)
DRAWN = [
    ("tau", "target", TracedSynapses, {"units": 5000}),
    ("base", "target", TracedSynapses, {"units": (50, 100)}),
    ("scale", "input", TracedSynapses, {"inputs": (5000,)}),
    ("scale", "connection", TracedSynapses, {"inputs": (200,)}),
    ("scale", "connection", TracedSynapses, {"inputs": (200,), "connectivity": FAN_OUT}),
    ("scale_2", "connection", DoubleTracedSynapses, {"inputs": (200,), "connectivity": FAN_OUT}),
    ("R_tau", "input", RUTracedSynapses, {"inputs": (50, 100)}),
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("name", "what", "cls", "more"), DRAWN)
def test_values_are_distributed_as_their_law(name, what, cls, more, law):
    distribution, cdf = LAWS[law]
    found = values(made(cls, **more, **{name: per(what, distribution)}), name)
    assert found.size >= 4000
    assert stats.kstest(found.reshape(-1), cdf).pvalue > UNLIKELY


def test_streams_are_independent_and_leave_all_else_as_it_is():
    drawn = {"tau": per("target", TAU), "scale": per("target", TAU), "base": per("target", TAU)}
    for connectivity in ("dense", FixedFanOut(fan_out=5)):
        options = {"units": 5000, "connectivity": connectivity}
        module, plain = made(**drawn, **options), made(**options)
        np.testing.assert_array_equal(module.kernel, plain.kernel)
        for one, other in zip(module.connections, plain.connections, strict=True):
            np.testing.assert_array_equal(one, other)
        each = np.stack([values(module, name) for name in drawn])
        off = np.corrcoef(each)[~np.eye(3, dtype=bool)]
        assert np.abs(off).max() < 6 / np.sqrt(5000)
        again, other = made(**drawn, **options), made(**drawn, **options, seed=4)
        np.testing.assert_array_equal(values(again, "tau"), each[0])
        assert not np.any(values(other, "tau") == each[0])


LISTED = SparseConnectivity(pre=np.arange(0, 80) % INPUTS, post=np.arange(80) * 7 % TARGETS)
SAME = {
    "targets": (TracedSynapses, {"tau": per("target", TAU), "base": per("target", TAU)}),
    "inputs": (TracedSynapses, {"tau": per("input", TAU), "scale": per("input", TAU)}),
    "connections": (TracedSynapses, {"tau": per("connection", TAU), "scale": per("input", TAU)}),
    "double": (
        DoubleTracedSynapses,
        {
            "tau_1": per("target", TAU),
            "scale_1": per("connection", TAU),
            "tau_2": per("input", TAU),
        },
    ),
    "plastic": (
        RUTracedSynapses,
        {"R_tau": per("input", TAU), "U_tau": per("input", TAU), "scale_U": per("input", PART)},
    ),
    "saturating": (
        SaturatingTracedSynapses,
        {"tau": per("input", TAU), "opening": per("input", PART)},
    ),
}


def given_again(module, cls, drawn, **more):
    """The same with arrays in place of what is drawn."""
    given = {}
    for name, each in drawn.items():
        found = values(module, name)
        if name.startswith("tau") and each.per != "target" and module.matrix.groups is not None:
            found = found[np.asarray(module.matrix.groups[...])]  # those of groups are in order
        if each.per == "target" or name in ("R_tau", "U_tau", "scale_U", "opening"):
            given[name] = found
        else:  # a matrix (inputs, targets), each axis whole or of size 1
            given[name] = found.reshape(INPUTS, -1).T
    return made(cls, **given, **more)


@pytest.mark.parametrize("connectivity", ["dense", "late", "listed"])
@pytest.mark.parametrize("name", SAME)
def test_they_act_as_given_ones(name, connectivity):
    cls, drawn = SAME[name]
    if connectivity == "listed" and any(each.per == "connection" for each in drawn.values()):
        pytest.skip("an entry for each connection is not given as an array")
    late = {"delays": np.arange(TARGETS)[:, None] * np.ones((1, INPUTS)) % 3}
    more = {"dense": {}, "late": late, "listed": {"connectivity": LISTED}}[connectivity]
    module = made(cls, **drawn, **more)
    xs = spikes(1, (20, INPUTS), 0.3)
    expected = given_again(module, cls, drawn, **more).scan(xs)
    np.testing.assert_array_equal(module.scan(xs), expected)
    module.reset()
    np.testing.assert_allclose(by_steps(module, xs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("delays", [None, 1.0 * (np.arange(TARGETS * INPUTS) % 4)])
def test_scales_along_rows_multiply_the_weights_in_the_order_of_connections(delays):
    more = {} if delays is None else {"delays": delays.reshape(TARGETS, INPUTS)}
    drawn = {"scale_1": per("connection", TAU), "scale_2": per("connection", TAU)}
    module = made(DoubleTracedSynapses, connectivity=LISTED, **drawn, **more)
    scales = [np.asarray(gain[...]) for gain in module.gains.values()]
    assert [each.shape for each in scales] == [(80,)] * 2
    assert abs(np.corrcoef(*scales)[0, 1]) < 6 / np.sqrt(80)
    plain = made(DoubleTracedSynapses, connectivity=LISTED, **more)
    plain.kernel = np.asarray(module.kernel.value) * scales[0] * scales[1]
    xs = spikes(1, (20, INPUTS), 0.3)
    # Products of three numbers in another order.
    np.testing.assert_allclose(module.scan(xs), plain.scan(xs), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("delays", [None, 1.0 * (np.arange(TARGETS * INPUTS) % 4)])
@pytest.mark.parametrize("trained", [(), ("tau",)])
def test_time_constants_along_rows_are_those_of_their_traces(trained, delays):
    more = {} if delays is None else {"delays": delays.reshape(TARGETS, INPUTS)}
    drawn = {"tau": per("connection", TAU), "scale": per("connection", TAU)}
    module = made(connectivity=LISTED, trainable=trained, **drawn, **more)
    assert module.current_tracer.shape == (INPUTS, 2)  # two connections of each input
    assert len(jax.tree.leaves(nnx.state(module, nnx.Param))) == 1 + len(trained)
    pre, post = map(np.asarray, module.connections)
    np.testing.assert_array_equal(pre, np.repeat(np.arange(INPUTS), 2))
    tau = np.asarray(module.current_tracer.tau[...], np.float64).reshape(-1)
    scale = np.asarray(module.gains["scale"][...], np.float64)
    assert stats.kstest(tau, stats.uniform(2, 7).cdf).pvalue > UNLIKELY
    assert abs(np.corrcoef(tau, scale)[0, 1]) < 6 / np.sqrt(80)
    weights, xs = np.asarray(module.kernel.value), spikes(1, (20, INPUTS), 0.3)
    expected = np.zeros((20, TARGETS))
    for c, (i, j) in enumerate(zip(pre, post, strict=True)):
        train = np.zeros(20)
        late = 0 if delays is None else int(more["delays"][j, i])
        train[late:] = xs[: 20 - late, i]
        expected[:, j] += lfilter([weights[c] * scale[c]], [1, -np.exp(-1 / tau[c])], train)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)


def test_procedural_connections_have_no_time_constant_of_their_own():
    with pytest.raises(ValueError, match="procedural connections are not stored"):
        made(connectivity=ProceduralConnectivity(fan_out=2), tau=per("connection", TAU))


@pytest.mark.parametrize("what", ["target", "connection"])
def test_they_can_be_trained(what):
    drawn = {"scale": per(what, TAU), "tau": per("target", TAU)}
    module = made(connectivity=LISTED, trainable=("scale", "tau"), **drawn)
    xs = spikes(1, (20, INPUTS), 0.3)

    def loss(module):
        module.reset()
        return (module.scan(xs).value ** 2).sum()

    found = jax.tree.leaves(nnx.grad(loss)(module))
    sizes = sorted(each.size for each in found)
    assert sizes == sorted([80, TARGETS, 80 if what == "connection" else TARGETS])
    assert all(np.any(np.asarray(each) != 0) for each in found)


@pytest.mark.parametrize("inputs", [(0,), (3, 0)], ids=str)
@pytest.mark.parametrize("connectivity", ["dense", AllToAll()], ids=["dense", "all"])
def test_no_inputs(connectivity, inputs):
    drawn = {"tau": per("connection", TAU), "scale": per("connection", TAU)}
    module = made(inputs=inputs, connectivity=connectivity, **drawn)
    np.testing.assert_array_equal(module.scan(np.ones((4, *inputs), bool)), np.zeros((4, TARGETS)))


@pytest.mark.parametrize(
    "config",
    [
        TracedSynapsesConfig(units=3, tau=per("target", TAU), scale=per("connection", TAU)),
        DoubleTracedSynapsesConfig(units=3, tau_2=per("input", LogNormal(mean=0.0, std=1.0))),
        RUTracedSynapsesConfig(units=3, scale_U=per("input", PART), base=per("target", PART)),
    ],
)
def test_a_file_keeps_them(config, tmp_path):
    config.to_file(tmp_path / "config.json")
    read = type(config).from_file(tmp_path / "config.json")
    assert read == config
    assert hash(read) == hash(config)
    assert read != config.replace(units=4)


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (TracedSynapses, {"tau": TAU}, r"tau must say what has .* Drawn\(distribution=Uniform\("),
        (TracedSynapses, {"scale": {"kind": "normal", "mean": 1.0, "std": 0.1}}, "scale must say"),
        (
            TracedSynapses,
            {"tau": per("target", Normal(mean=5.0, std=1.0))},
            "tau must be drawn from a distribution with low=0 or a narrower bound, got Normal",
        ),
        (TracedSynapses, {"base": per("input", TAU)}, "base must be drawn per='target', got per="),
        (RUTracedSynapses, {"R_tau": per("target", TAU)}, "R_tau must be drawn per='input', got"),
        (RUTracedSynapses, {"scale_U": per("input", TAU)}, "scale_U must be .* with high=1 or"),
        (
            SaturatingTracedSynapses,
            {"tau": per("target", TAU)},
            "tau must be drawn per='input', got per='target'",
        ),
        (TracedSynapses, {"tau": {"distribution": 5.0, "per": "target"}}, "a number needs no Dra"),
        (
            TracedSynapses,
            {"tau": {"distribution": {"kind": "uniform", "low": 1.0, "high": 2.0}}},
            "tau.per is missing",
        ),
        (TracedSynapses, {"tau": {"distribution": TAU, "per": "synapse"}}, "tau.per must be 'targ"),
    ],
)
def test_what_makes_no_sense_is_refused(cls, fields, message):
    with pytest.raises(ConfigError, match=message):
        cls(units=2, **fields)


def test_drawn_values_are_checked_as_given_ones():
    long = per("target", Uniform(low=5000.0, high=6000.0))
    with pytest.raises(ValueError, match=r"tau must be at most .* to decay in float16"):
        made(tau=long, dtype="float16", rounding="nearest")
    with pytest.raises(ValueError, match="tau must be at least dt = 1 for Euler"):
        made(tau=per("target", Uniform(low=0.1, high=0.5)), integrator="euler")
    clipped = Normal(mean=0.0, std=1.0, low=0.0, at_bounds="clip")
    with pytest.raises(ValueError, match="tau must be > 0"):
        made(tau=per("target", clipped))

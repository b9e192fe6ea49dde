"""Receptors that saturate: against gates in NumPy, and the differential equations of NMDA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.integrate import solve_ivp
from scipy.signal import lfilter

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    InputSpec,
    ProceduralConnectivity,
    SaturatingTracedSynapses,
    SaturatingTracedSynapsesConfig,
    SparseConnectivity,
)
from spark.nn.configs import ConfigError

from .comparing import by_steps
from .kinds import spikes

INPUTS, UNITS, TIME = 6, 4, 60
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(UNITS, INPUTS))
XS = spikes(1, (TIME, INPUTS), 0.4)
TAU = np.where(np.arange(INPUTS) % 2, 8.0, 20.0)
OPENING = RNG.uniform(0.1, 0.9, INPUTS)


def gates(xs, tau=TAU, opening=OPENING):
    """The gates after each step, in float64."""
    g, found = np.zeros(INPUTS), []
    for x in xs:
        g = g * np.exp(-1 / tau)
        g = g + opening * np.abs(x) * (1 - g)
        found.append(g)
    return np.stack(found)


def late(values, steps):
    return np.concatenate([np.zeros((steps, *values.shape[1:])), values])[: len(values)]


STEPS = RNG.integers(0, 5, (UNITS, INPUTS))


def expected(delays=None):
    found = gates(XS)
    steps = np.zeros((UNITS, INPUTS), int) if delays is None else delays
    return (
        0.25
        + 2.0 * sum(np.where(steps == d, KERNEL, 0) @ late(found, d).T for d in np.unique(steps)).T
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"delays": 1.0 * STEPS},
        {"connectivity": "sparse", "delays": 1.0 * STEPS},
        {"delays": 3.0},
    ],
)
@pytest.mark.usefixtures("x64")
def test_currents_are_sums_of_gates(more):
    arguments = {"tau": TAU[None], "opening": OPENING, "scale": 2.0, "base": 0.25, **more}
    kernel = KERNEL
    if more.get("connectivity") == "sparse":
        pre, post = np.divmod(np.arange(UNITS * INPUTS), UNITS)
        order = np.lexsort((post, STEPS[post, pre], pre))
        kernel = KERNEL[post, pre][order]
        arguments["connectivity"] = SparseConnectivity(pre=pre, post=post)
    delays = more.get("delays")
    steps = None if delays is None else np.broadcast_to(delays, (UNITS, INPUTS)).astype(int)
    close = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float64"))
    make = lambda: SaturatingTracedSynapses(  # noqa: E731
        units=UNITS, kernel_initializer=kernel, dtype="float64", **arguments
    )
    np.testing.assert_allclose(make().scan(XS), expected(steps), **close)
    module = make()
    np.testing.assert_allclose(by_steps(module, XS), expected(steps), **close)
    open_part = 1 - np.asarray(module.release_tracer.trace_R[...])
    np.testing.assert_allclose(open_part, gates(XS)[-1], **close)


@pytest.mark.usefixtures("x64")
def test_graded_spikes_open_in_proportion_and_silent_inputs_have_a_gradient():
    xs = XS * RNG.uniform(-1, 1, XS.shape)
    module = SaturatingTracedSynapses(
        units=UNITS, kernel_initializer=KERNEL, dtype="float64", tau=TAU[None], opening=OPENING
    )
    module.build({"spikes": InputSpec((INPUTS,))})
    # Each spike adds what it opens, with its sign: a negative one inhibits.
    before = np.concatenate([np.zeros((1, INPUTS)), gates(xs)[:-1]]) * np.exp(-1 / TAU)
    opened = np.sign(xs) * (gates(xs) - before)
    expected = lfilter_each(opened, TAU) @ KERNEL.T
    close = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float64"))
    np.testing.assert_allclose(module.scan(xs), expected, **close)

    module.reset()
    graph, state = nnx.split(module)

    def run(xs):
        return nnx.merge(graph, state, copy=True).scan(xs).value[-1]

    found = jax.jacobian(run)(jnp.zeros((TIME, INPUTS)))
    left = np.exp(-np.arange(TIME)[::-1, None] / TAU)
    np.testing.assert_allclose(found, KERNEL[:, None] * (OPENING * left), **close)


def lfilter_each(xs, tau):
    found = [lfilter([1], [1, -np.exp(-1 / each)], x) for x, each in zip(xs.T, tau, strict=True)]
    return np.stack(found, axis=1)


def test_a_spike_is_as_the_differential_equations_of_nmda():
    # Brunel and Wang: x' = -x / 2, x += 1; s' = -s / 100 + 0.5 x (1 - s).
    train = np.zeros(500, bool)
    train[::20] = True  # 50 Hz

    def slope(t, y):
        x, s = y
        return [-x / 2, -s / 100 + 0.5 * x * (1 - s)]

    y, found = np.zeros(2), []
    for spike in train:
        y = solve_ivp(slope, (0, 1), [y[0] + spike, y[1]], rtol=1e-9, atol=1e-12).y[:, -1]
        found.append(y[1])
    module = SaturatingTracedSynapses(
        units=1, kernel_initializer=np.ones((1, 1)), opening=1 - np.exp(-1), dtype="float32"
    )
    ours = np.asarray(module.scan(train[:, None]))[:, 0]
    # What the rise takes away: a few ms of closing, of 100, and its own time at first.
    after_rise = np.arange(500) % 20 >= 10
    assert np.abs(ours - found)[after_rise].max() < 0.02
    assert np.mean(found) == pytest.approx(np.mean(ours), rel=0.02)


def test_half_precision_and_procedural_connections_follow_on_average():
    connectivity = ProceduralConnectivity(fan_out=50, law="constant")
    xs = spikes(2, (400, 200), 0.05)
    means = []
    for dtype in ("float32", "float16"):
        module = SaturatingTracedSynapses(units=100, connectivity=connectivity, dtype=dtype)
        module.build({"spikes": InputSpec((200,))})
        means.append(np.asarray(module.scan(xs), np.float64)[200:].mean())
    assert means[1] == pytest.approx(means[0], rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": np.full(3, 5.0)}, r"tau must not differ over targets, .* got shape \(3,\)"),
        ({"tau": np.full((3, 2), 5.0)}, r"tau must not differ over targets, .*\(3, 2\)"),
        ({"trainable": "tau"}, "trainable must not name tau"),
        ({"opening": 1.5}, "opening must lie in"),
        ({"async_spikes": True}, "async_spikes must be False"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SaturatingTracedSynapsesConfig(units=3, **arguments)


def test_an_opening_of_wrong_shape_is_refused_by_its_name():
    module = SaturatingTracedSynapses(units=2, opening=np.full(3, 0.5))
    with pytest.raises(ValueError, match=r"^opening of shape \(3,\) does not .* \(5,\)"):
        module.build({"spikes": InputSpec((5,))})


def test_euler_steps_are_refused_as_gates_have_none():
    with pytest.raises(ValueError, match="integrator must be 'exact'"):
        SaturatingTracedSynapses(units=1, integrator="euler")

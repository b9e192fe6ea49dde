"""Delays of procedural connections: drawn by their law, alike everywhere, as stored ones act."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RUTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
)
from spark.nn.configs import ConfigError
from spark.nn.initializers import LogNormal, Normal, Uniform

from .comparing import CLOSE, by_steps, same_gradients
from .kinds import spikes

INPUTS, TARGETS, FAN_OUT = 40, 30, 7
XS = spikes(0, (30, INPUTS), 0.2)
UNLIKELY = 1e-6  # as in the tests of other draws

# A law, a time step, and the CDF of what is rounded.
LAWS = {
    "uniform": (Uniform(low=1.0, high=4.0), 0.5, stats.uniform(1, 3).cdf),
    "normal": (Normal(mean=1.5, std=0.75, low=0.1), 0.1, None),
    "lognormal": (LogNormal(mean=0.0, std=0.5), 0.25, stats.lognorm(0.5).cdf),
    "upper-tail": (Normal(mean=0.0, std=1.0, low=1.0), 0.25, None),
}


def steps_of(delays, inputs, fan_out, dt=1.0, targets=TARGETS):
    """Input, target, delay in steps, and rows, of each connection."""
    connectivity = ProceduralConnectivity(fan_out=fan_out, law="normal", delays=delays)
    found = connectivity.lay_out(inputs, targets, jax.random.key(3), dt, "float32")
    pre, places = map(np.asarray, found.rows.all(found.adjacency))
    return pre, places % targets, places // targets, found


@pytest.mark.parametrize("law", LAWS)
def test_steps_are_distributed_as_their_law(law):
    delays, dt, cdf = LAWS[law]
    _, post, steps, found = steps_of(delays, 2000, 50, dt)
    if cdf is None:
        ends = (delays.low - delays.mean) / delays.std, np.inf
        cdf = stats.truncnorm(*ends, delays.mean, delays.std).cdf
    limits = (np.arange(found.rows.steps + 1) - 0.5) * dt
    expected = np.diff(cdf(limits)) * len(steps)
    counts = np.bincount(steps, minlength=found.rows.steps)
    assert counts[expected == 0].sum() == 0
    many = expected >= 5
    rest = [counts[~many].sum()], [expected[~many].sum()]
    counts, expected = (
        np.append(x[many], y) for x, y in zip((counts, expected), rest, strict=True)
    )
    some = expected > 0
    ratio = len(post) / expected[some].sum()  # what the longest delay cuts off
    assert stats.chisquare(counts[some], expected[some] * ratio).pvalue > UNLIKELY


def test_steps_are_independent_of_targets_and_weights():
    pre, post, steps, found = steps_of(Uniform(low=0.0, high=9.0), 2000, 50)
    weights = found.rows.basis(found.adjacency, jnp.arange(2000), jnp.float32)[1].reshape(-1)
    for other in (pre, post, weights):
        assert abs(np.corrcoef(steps, other)[0, 1]) < 6 / np.sqrt(len(steps))
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 6 / np.sqrt(len(steps))


def drawn(cls=LinearSynapses, delays=None, batch=(), **more):
    delays = Uniform(low=0.0, high=6.0) if delays is None else delays
    connectivity = ProceduralConnectivity(fan_out=FAN_OUT, law="normal", delays=delays)
    arguments = {"kernel_initializer": np.array([1.0, 0.5]), "dtype": "float32", **more}
    module = cls(units=TARGETS, connectivity=connectivity, seed=5, **arguments)
    module.build({"spikes": InputSpec((INPUTS,), batch=batch)})
    return module


def as_stored(module, **more):
    """The same connections, stored; and the basis of the weights, in their order."""
    matrix, adjacency = module.matrix, tuple(each[...] for each in module.matrix.adjacency)
    pre, places = map(np.asarray, matrix.rows.all(adjacency))
    basis = np.asarray(matrix.rows.basis(adjacency, jnp.arange(INPUTS), jnp.float32))
    basis = basis.reshape(2, -1)
    post, steps = places % TARGETS, places // TARGETS
    order = np.lexsort((post, steps, pre))
    listed = SparseConnectivity(pre=pre[order], post=post[order], delays=1.0 * steps[order])
    weights = np.asarray(module.kernel.value) @ basis[:, order]
    arguments = {"dtype": "float32", **more}
    stored = type(module)(
        units=TARGETS, connectivity=listed, kernel_initializer=weights, **arguments
    )
    stored.build({"spikes": InputSpec((INPUTS,), batch=module.batch)})
    return stored, basis[:, order]


TAU = np.where(np.arange(INPUTS) % 3, 4.0, 9.0)[None]


@pytest.mark.parametrize(
    ("cls", "more"),
    [
        (LinearSynapses, {}),
        (LinearSynapses, {"projection": "dense"}),
        (TracedSynapses, {"tau": TAU, "projection": "dense"}),
        (DoubleTracedSynapses, {"tau_1": TAU}),
        (RUTracedSynapses, {}),
    ],
)
def test_they_act_as_stored_ones(cls, more):
    for batch in ((), (3,)):
        module = drawn(cls, batch=batch, **more)
        stored, _ = as_stored(module, **more)
        xs = spikes(1, (30, *batch, INPUTS), 0.2)
        np.testing.assert_allclose(by_steps(module, xs[:9]), by_steps(stored, xs[:9]), **CLOSE)
        np.testing.assert_allclose(module.scan(xs[9:]), stored.scan(xs[9:]), **CLOSE)
        pending = (np.asarray(each.matrix.pending.slots[...]) for each in (module, stored))
        np.testing.assert_allclose(*pending, **CLOSE)


@pytest.mark.parametrize("way", ["auto", "dense"])
def test_gradients_are_those_of_stored_ones(way):
    module = drawn(projection=way)
    stored, basis = as_stored(module)
    graded = XS * np.random.default_rng(2).normal(size=XS.shape).astype(np.float32)

    def gradients(module):
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params, xs):
            module = nnx.merge(graph, params, rest, copy=True)
            first, second = module.scan(xs[:20]).value, module.scan(xs[20:]).value
            return jnp.sum(jnp.sin(first)) + jnp.sum(second**2)

        of_params, of_xs = jax.grad(loss, (0, 1))(params, jnp.asarray(graded))
        (leaf,) = jax.tree.leaves(of_params)
        return np.asarray(leaf), np.asarray(of_xs)

    found, (of_weights, of_xs) = gradients(module), gradients(stored)
    same_gradients(found, (basis @ of_weights, of_xs))


def test_the_weight_at_emission_counts():
    module = drawn(delays=3.0)
    module(np.ones(INPUTS, bool))
    module.kernel = np.array([1000.0, 0.5])
    assert np.abs(np.asarray(module.scan(np.zeros((3, INPUTS), bool)))).max() < 100


def test_one_delay_for_all_is_that_of_the_inputs():
    late, of_inputs = drawn(delays=2.0), drawn(delays=0.0)
    assert of_inputs.matrix.pending is None
    expected = np.concatenate([np.zeros((2, TARGETS)), of_inputs.scan(XS[:-2]).value])
    close = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float32"))
    np.testing.assert_allclose(late.scan(XS), expected, **close)


@pytest.mark.parametrize(
    ("delays", "error", "message"),
    [
        (-1.0, ConfigError, "delays must be 0 or more, got -1"),
        (Normal(mean=1.0, std=1.0), ConfigError, "delays must be 0 or more, .*low=0"),
        (0.5, ValueError, "delays of the connectivity must be whole multiples of dt"),
        (Uniform(low=0.0, high=2e6), ValueError, "must be below 2\\^20 steps, got up to 2e\\+06"),
    ],
)
def test_invalid_delays_are_refused(delays, error, message):
    with pytest.raises(error, match=message):
        drawn(delays=delays)


def test_delays_are_not_given_twice():
    late = ProceduralConnectivity(fan_out=2, delays=1.0)
    module = LinearSynapses(units=3, connectivity=late, delays=1.0)
    with pytest.raises(ValueError, match="delays are given twice"):
        module(np.zeros(4, bool))

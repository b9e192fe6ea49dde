"""Stored connections with a trace or a spike of their own, beside the dense kernel with zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    SparseConnectivity,
    TracedSynapses,
)

from .comparing import by_steps
from .kinds import DOUBLE, LINEAR, TRACED, spikes
from .shifted import of_connections

INPUTS, UNITS, TIME = (2, 3), 4, 25
COUNT = 6
RNG = np.random.default_rng(0)
THERE = RNG.random((UNITS, COUNT)) < 0.6
THERE[:, 2] = False  # an input without connections
KERNEL = RNG.normal(size=(UNITS, COUNT)) * THERE
PRE, POST = np.nonzero(THERE.T)
WEIGHTS = KERNEL[POST, PRE]
STEPS = RNG.integers(0, 4, (UNITS, COUNT))
XS = spikes(1, (TIME, *INPUTS))
CLOSE = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float64"))

PER_INPUT = 3 + np.arange(6.0).reshape(1, 2, 3)
PER_AXIS = np.array([4.0, 9.0]).reshape(1, 2, 1)  # shared along an axis of the inputs
PER_SYNAPSE = RNG.uniform(3, 9, (UNITS, 2, 3))
TAUS = {"input": PER_INPUT, "axis": PER_AXIS, "synapse": PER_SYNAPSE}

pytestmark = pytest.mark.usefixtures("x64")


def pair(cls, connectivity=None, batch=(), kernel=KERNEL, weights=None, **arguments):
    """Dense synapses and sparse ones with the same weights."""
    arguments = {"units": UNITS, "dtype": "float64", **arguments}
    shape = InputSpec(INPUTS, batch=batch)
    dense = cls(kernel_initializer=kernel.reshape(UNITS, *INPUTS), **arguments)
    listed = connectivity or SparseConnectivity(pre=PRE, post=POST)
    sparse = cls(
        kernel_initializer=WEIGHTS if weights is None else weights,
        connectivity=listed,
        **arguments,
    )
    for each in (dense, sparse):
        each.build({"spikes": shape})
    return dense, sparse


def gradients(module, xs):
    """Of all parameters, by name, with the taus as they were given."""
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, xs):
        return jnp.sum(nnx.merge(graph, params, rest, copy=True).scan(xs).value ** 2)

    of_params, of_xs = jax.grad(loss, (0, 1))(params, xs)
    flat = {path[-1]: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(of_params)}
    return flat, np.asarray(of_xs)


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("cls", [TracedSynapses, DoubleTracedSynapses])
def test_trained_time_constants_are_those_of_the_dense_kernel(cls, tau):
    one = cls is TracedSynapses
    name = "tau" if one else "tau_1"
    more = {"scale": np.arange(6.0).reshape(1, 2, 3), "base": 0.25} if one else {"tau_2": PER_INPUT}
    more = {name: TAUS[tau], "trainable": name, **more}
    dense, sparse = pair(cls, batch=(2,), **more)
    xs = spikes(2, (TIME, 2, *INPUTS))
    np.testing.assert_allclose(by_steps(sparse, xs[:5]), by_steps(dense, xs[:5]), **CLOSE)
    np.testing.assert_allclose(sparse.scan(xs[5:]), dense.scan(xs[5:]), **CLOSE)
    np.testing.assert_array_equal(sparse.connections, (PRE, POST))

    graded = jnp.asarray(np.where(xs, 0.5, 0.0))
    (found, of_xs), (expected, of_dense) = (gradients(each, graded) for each in (sparse, dense))
    bound = {"rtol": 0, "atol": tolerance("gradient", "float64") * np.abs(of_dense).max()}
    np.testing.assert_allclose(of_xs, of_dense, **bound)
    np.testing.assert_allclose(found["weights"], expected["weights"][PRE, POST], **bound)
    bound["atol"] *= 100  # sums over connections, as large as those
    if tau == "synapse":
        flat = found[name].reshape(COUNT, -1)
        ranks = np.concatenate([np.arange(n) for n in THERE.sum(axis=0)])
        of_taus = expected[name].reshape(COUNT, UNITS)
        np.testing.assert_allclose(flat[PRE, ranks], of_taus[PRE, POST], **bound)
    else:
        np.testing.assert_allclose(found[name], expected[name], **bound)


@pytest.mark.parametrize("connectivity", ["dense", "sparse"])
def test_trained_time_constants_with_delays_of_connections(connectivity):
    more = {"tau": PER_SYNAPSE, "trainable": "tau", "delays": 1.0 * STEPS.reshape(UNITS, *INPUTS)}
    if connectivity == "sparse":
        given = STEPS[POST, PRE]
        order = np.lexsort((POST, given, PRE))
        _, module = pair(TracedSynapses, weights=WEIGHTS[order], **more)
    else:
        module, _ = pair(TracedSynapses, **more)
    flat = XS.reshape(TIME, COUNT)
    late = of_connections(flat, STEPS)
    arguments = {"tau": PER_SYNAPSE.reshape(UNITS, COUNT), "scale": 1.0, "base": 0.0}
    expected = TRACED.currents(KERNEL, late, async_spikes=True, **arguments)
    np.testing.assert_allclose(by_steps(module, XS[:9]), expected[:9], **CLOSE)
    np.testing.assert_allclose(module.scan(XS[9:]), expected[9:], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (LINEAR, {}),
        (TRACED, {"tau": PER_AXIS, "scale": PER_INPUT}),
        (TRACED, {"tau": PER_SYNAPSE, "trainable": "tau"}),
        (DOUBLE, {"tau_1": PER_INPUT, "trainable": ("tau_1", "scale_1")}),
    ],
)
def test_spikes_of_connections(kind, more):
    arguments = {**kind.arguments, **more, "dtype": "float64", "async_spikes": True}
    module = kind.cls(
        units=UNITS,
        connectivity=SparseConnectivity(pre=PRE, post=POST),
        kernel_initializer=WEIGHTS,
        **arguments,
    )
    module.build({"spikes": InputSpec(INPUTS, async_spikes=True)})
    xs = spikes(3, (TIME, len(PRE)))
    whole = np.zeros((TIME, UNITS, COUNT))
    whole[:, POST, PRE] = xs
    given = {k: v for k, v in more.items() if k != "trainable"}
    given = {
        k: np.broadcast_to(v, (UNITS, *INPUTS)).reshape(UNITS, COUNT) for k, v in given.items()
    }
    expected = kind.currents(KERNEL, whole, async_spikes=True, **given)
    np.testing.assert_array_equal(module.connections, (PRE, POST))
    np.testing.assert_allclose(by_steps(module, xs[:9]), expected[:9], **CLOSE)
    np.testing.assert_allclose(module.scan(xs[9:]), expected[9:], **CLOSE)


def test_a_trained_scale_of_an_input_is_one_for_all_its_connections():
    scale = np.arange(1.0, 7.0).reshape(1, 2, 3)
    more = {"scale": scale, "trainable": "scale", "async_spikes": True, "dtype": "float64"}
    listed = SparseConnectivity(pre=PRE, post=POST)
    module = TracedSynapses(
        units=UNITS, connectivity=listed, kernel_initializer=WEIGHTS, tau=5.0, **more
    )
    module.build({"spikes": InputSpec(INPUTS, async_spikes=True)})
    xs = jnp.asarray(1.0 * spikes(3, (TIME, len(PRE))))
    found, _ = gradients(module, xs)
    of_weights = found["weights"] * WEIGHTS / scale.reshape(-1)[PRE]
    expected = np.bincount(PRE, of_weights, COUNT)
    np.testing.assert_allclose(found["scale"].reshape(-1), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"connectivity": ProceduralConnectivity(fan_out=1), "async_spikes": True},
            "procedural connections are not stored, and have no traces or spikes of their own",
        ),
        (
            {
                "connectivity": SparseConnectivity(pre=[0], post=[0], delays=[1]),
                "async_spikes": True,
            },
            "async_spikes, spikes of each connection, go with no delays of the connectivity",
        ),
    ],
)
def test_features_that_do_not_go_together_are_refused(arguments, message):
    module = LinearSynapses(units=2, **arguments)
    with pytest.raises(ValueError, match=message):
        module.build({"spikes": InputSpec((3,), async_spikes=True)})


def test_spikes_of_connections_do_not_build():
    module = LinearSynapses(
        units=2, connectivity=SparseConnectivity(pre=[0], post=[0]), async_spikes=True
    )
    with pytest.raises(RuntimeError, match="do not tell the shape of the inputs: call build"):
        module(np.ones(1, bool))

"""Synapses with delays, of inputs and of connections: against spike trains shifted in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    Delays,
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    LinearSynapsesConfig,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    SpikeArray,
)
from spark.nn.components.synapses._connect import connect
from spark.nn.configs import ConfigError

from .comparing import AS_STEPS, CLOSE, by_steps
from .delayed import CASES, KERNEL, OF_CONNECTIONS, OF_INPUTS, POST, PRE, STEPS, WEIGHTS, XS, make
from .graphs import with_zeros
from .kinds import LINEAR, TRACED, exact, laid_out, normal
from .shifted import of_connections, shifted

BASE = TRACED.arguments["base"]


def currents(case, xs=XS, **arguments):
    """The currents of a case, in float64."""
    if case == "all":
        return TRACED.currents(KERNEL, shifted(xs, np.full(5, 2)), **arguments)
    if case == "inputs":
        return TRACED.currents(KERNEL, shifted(xs, OF_INPUTS), **arguments)
    if case == "connections":
        late = of_connections(xs, OF_CONNECTIONS)
        return TRACED.currents(KERNEL, late, async_spikes=True, **arguments)
    # Of each delay its own spikes, summed up.
    total = np.full((len(xs), 3), BASE)
    for pre, post, steps, weight in zip(PRE, POST, STEPS, WEIGHTS, strict=True):
        kernel = with_zeros([weight], 3, 5, [pre], [post])
        total += TRACED.currents(kernel, shifted(xs, np.full(5, steps)), **{**arguments, "base": 0})
    return total


def state(module):
    leaves = jax.tree.leaves(module.state)
    return [np.asarray(leaf) for leaf in leaves if not is_key(leaf.dtype)]


def is_key(dtype):
    return jnp.issubdtype(dtype, jax.dtypes.prng_key)


# Every kind of delay, way and layout; with one trace per synapse, delays are those of inputs.
@pytest.mark.parametrize(
    ("case", "way", "layout"),
    [
        ("all", "events", "per-target"),
        ("inputs", "auto", "scalar"),
        ("inputs", "dense", "two-values-per-target"),
        ("inputs", "auto", "per-synapse"),
        ("connections", "auto", "scalar"),
        ("connections", "events", "two-values-per-target"),
        ("sparse", "auto", "scalar"),
        ("sparse", "dense", "two-values-per-target"),
    ],
)
def test_currents_are_those_of_shifted_trains(case, way, layout):
    arguments, _ = laid_out(TRACED, layout)
    module = make(case, projection=way, **arguments)
    np.testing.assert_allclose(module.scan(XS), currents(case, **arguments), **CLOSE)


@pytest.mark.parametrize(
    ("case", "dtype"), [("inputs", "float16"), ("sparse", "float16"), ("connections", "float32")]
)
def test_scans_go_on_where_steps_end_and_back(case, dtype):
    # Weights that add up without rounding, whatever the order.
    kernel = exact(6, CASES[case]["kernel"].shape)
    stepped, cut = (make(case, kernel=kernel, dtype=dtype) for _ in range(2))
    ys = by_steps(stepped, XS[:16])
    # Pieces within the longest delay, into nothing, and after steps.
    first, second = XS[:3], XS[7:10]
    scan = functools.partial(cut.scan, method="sequential")
    found = [scan(first), by_steps(cut, XS[3:7]), scan(second), scan(XS[10:10])]
    found += [by_steps(cut, XS[10:13]), scan(XS[13:16])]
    if dtype == "float16":
        np.testing.assert_array_equal(np.concatenate(found), ys)
    else:
        np.testing.assert_allclose(np.concatenate(found), ys, **AS_STEPS)
    for one, two in zip(state(cut), state(stepped), strict=True):
        # Integers are counts, of steps and places.
        np.testing.assert_allclose(one, two, **AS_STEPS)


@pytest.mark.parametrize("case", ["inputs", "sparse"])
def test_reset_and_inhibition(case):
    module = make(case)
    mask = np.array([True, False, False, True, False])
    module.scan(np.ones_like(XS))
    module.reset()
    found = np.asarray(module.scan(SpikeArray(XS, mask)))
    np.testing.assert_allclose(found, currents(case, XS * np.where(mask, -1, 1)), **CLOSE)


@pytest.mark.parametrize("case", ["inputs", "connections", "sparse"])
def test_batch_axes_are_separate_modules(case):
    found = np.asarray(make(case, batch=(2,)).scan(np.stack([np.zeros_like(XS), XS], 1)))
    np.testing.assert_allclose(found[:, 1], currents(case), **CLOSE)
    np.testing.assert_array_equal(found[:, 0], np.full((30, 3), BASE))


@pytest.mark.parametrize("case", ["inputs", "sparse"])
def test_gradients_of_graded_spikes_and_weights(case):
    module = make(case)
    rng = np.random.default_rng(7)
    xs, push = (np.asarray(rng.normal(size=XS.shape) * XS, "float32") for _ in range(2))
    aim = np.asarray(rng.normal(size=(30, 3)), "float32")

    @nnx.jit
    def gradients(module, xs):
        def loss(module, xs):
            return jnp.vdot(module.scan(xs).value, aim)

        return nnx.grad(loss, argnums=(0, 1))(module, xs)

    of_module, of_spikes = gradients(module, xs)
    # Currents are linear in spikes, and in weights.
    response, pushed = (np.vdot(currents(case, each) - BASE, aim) for each in (xs, push))
    bound = tolerance("gradient", "float32") * np.abs(of_spikes).sum()
    np.testing.assert_allclose(np.vdot(of_spikes, push), pushed, rtol=0, atol=bound)
    along = np.vdot(of_module["matrix"]["weights"].get_value(), module.weights.get_value())
    np.testing.assert_allclose(along, response, rtol=0, atol=bound)


def test_a_nan_weight_of_a_silent_input_reaches_no_target():
    silent = XS.copy()
    silent[:, [1, 4]] = False
    for case, inputs in (("connections", np.arange(5)[:, None]), ("sparse", PRE)):
        module = make(case)
        weights = np.array(module.weights.get_value())
        weights[np.broadcast_to(np.isin(inputs, [1, 4]), weights.shape)] = np.nan
        module.weights.set_value(jnp.asarray(weights))
        np.testing.assert_allclose(module.scan(silent), currents(case, silent), **CLOSE)


def test_synapses_with_asynchronous_spikes_take_them():
    late = Delays(5, OF_CONNECTIONS, units=3).scan(XS)
    apart = TRACED.make(KERNEL, async_spikes=True).scan(late)
    within = TRACED.make(KERNEL, delays=OF_CONNECTIONS).scan(XS)
    expected = TRACED.currents(KERNEL, of_connections(XS, OF_CONNECTIONS), async_spikes=True)
    np.testing.assert_allclose(apart, expected, **CLOSE)
    np.testing.assert_allclose(within, expected, **CLOSE)


@pytest.mark.parametrize("delay", [0.3 - 3 * 0.1, 3 * 0.1 - 0.3, -0.0])
def test_a_delay_of_0_is_rounded_on_both_sides(delay):
    listed = SparseConnectivity(pre=[0], post=[0], weights=[1.0], delays=[delay])
    for arguments in (
        *({"delays": form} for form in (delay, np.array([delay]), np.array([[delay]]))),
        {"connectivity": listed},
    ):
        config = LinearSynapsesConfig(units=1, dt=0.1, **arguments)
        found, delays = connect(config, (1,), jax.random.key(0))
        assert delays is None or not delays.any()
        assert found is None or found.rows.steps == 1
    assert Delays(1, delay, dt=0.1).line is None
    with pytest.raises(ConfigError, match=r"delays must be whole multiples .* got -0\.1"):
        LinearSynapsesConfig(units=1, dt=0.1, delays=-0.1)


def test_weights_stay_with_their_connections_in_any_order():
    order = np.random.default_rng(4).permutation(len(PRE))
    lists = {"pre": PRE[order], "post": POST[order], "delays": STEPS[order]}
    late = SparseConnectivity(**lists, weights=WEIGHTS[order])
    module = LinearSynapses(units=3, connectivity=late, dtype="float32")
    module.build({"spikes": InputSpec((5,))})
    np.testing.assert_array_equal(module.connections, [PRE, POST])
    np.testing.assert_array_equal(module.kernel, WEIGHTS.astype(np.float32))


def test_drawn_connections_take_delays():
    def drawn(connectivity, delays, kernel):
        options = {"kernel_initializer": kernel, "dtype": "float32"}
        module = LinearSynapses(units=3, connectivity=connectivity, delays=delays, **options)
        module.build({"spikes": InputSpec((5,))})
        return module, *map(np.asarray, module.connections)

    law = ProceduralConnectivity(fan_out=2, law="constant")
    module, pre, post = drawn(law, OF_INPUTS, np.ones(1))
    kernel = with_zeros(np.ones(10), 3, 5, pre, post)
    np.testing.assert_array_equal(module.scan(XS), shifted(XS, OF_INPUTS) @ kernel.T)

    module, pre, post = drawn(FixedFanOut(fan_out=2), OF_CONNECTIONS, normal(9, 10))
    _, *connections = drawn(FixedFanOut(fan_out=2), None, normal(9, 10))
    in_order = np.lexsort((post, pre))
    np.testing.assert_array_equal(connections, [pre[in_order], post[in_order]])
    kernel = with_zeros(module.kernel, 3, 5, pre, post)
    expected = np.sum(kernel * of_connections(XS, OF_CONNECTIONS), -1)
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)


# Every form of delays, of dense and of stored connections.
@pytest.mark.parametrize("scanned", [False, True], ids=["call", "scan"])
@pytest.mark.parametrize("connectivity", ["dense", RandomConnectivity(probability=1.0)])
def test_with_delays_of_connections_the_weight_at_emission_counts(connectivity, scanned):
    for delays in (np.full((2, 2), 3.0), [[3.0, 3.0]], [[3.0], [3.0]], [[3.0]]):
        require_weight_at_emission(connectivity, delays, scanned)


def require_weight_at_emission(connectivity, delays, scanned):
    ones = np.ones((2, 2) if connectivity == "dense" else 4)
    synapses = LINEAR.make(ones, 2, connectivity=connectivity, delays=delays)
    nothing = np.zeros((3, 2), bool)
    synapses(np.array([True, True]))
    synapses.kernel = 10 * ones
    found = synapses.scan(nothing) if scanned else [synapses(each) for each in nothing]
    np.testing.assert_array_equal([np.asarray(each) for each in found], [[0, 0], [0, 0], [2, 2]])


# With them spikes wait, before the weights are read.
@pytest.mark.parametrize("scanned", [False, True], ids=["call", "scan"])
@pytest.mark.parametrize("connectivity", ["dense", RandomConnectivity(probability=1.0)])
def test_with_delays_of_inputs_the_weight_at_arrival_counts(connectivity, scanned):
    for delays in (3.0, [3.0, 3.0]):
        require_weight_at_arrival(connectivity, {"delays": delays}, scanned)


@pytest.mark.parametrize("scanned", [False, True], ids=["call", "scan"])
def test_after_delays_as_a_module_the_weight_at_arrival_counts(scanned):
    late = Delays(2, np.full((2, 2), 3.0), units=2)
    require_weight_at_arrival("dense", {"async_spikes": True}, scanned, late)


def require_weight_at_arrival(connectivity, arguments, scanned, before=lambda spikes: spikes):
    ones = np.ones((2, 2) if connectivity == "dense" else 4)
    synapses = LINEAR.make(ones, 2, connectivity=connectivity, **arguments)
    nothing = np.zeros((3, 2), bool)
    synapses(before(np.array([True, True])))
    synapses.kernel = 10 * ones
    if scanned:
        scan = before.scan if isinstance(before, Delays) else before
        found = synapses.scan(scan(nothing))
    else:
        found = [synapses(before(each)) for each in nothing]
    np.testing.assert_array_equal([np.asarray(each) for each in found], [[0, 0], [0, 0], [20, 20]])


def test_many_steps_times_targets_are_counted_from_now():
    # Places beyond 16 bits.
    steps = 700
    given = SparseConnectivity(
        pre=[0, 0, 1], post=[99, 0, 50], weights=[1, 2, 4], delays=[steps, 3, 0]
    )
    module = LinearSynapses(units=100, connectivity=given, dtype="float32")
    xs = np.zeros((2 * steps, 2), bool)
    xs[[1, 699, 700], 0] = True
    xs[1399, 1] = True
    found = np.asarray(module.scan(xs))
    expected = np.zeros((2 * steps, 100), np.float32)
    expected[[701, 1399], 99] = 1
    expected[[4, 702, 703], 0] = 2
    expected[1399, 50] = 4
    np.testing.assert_array_equal(found, expected)

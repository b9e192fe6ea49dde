"""Short-term plasticity of synapses, against the equations in float64 and a solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.integrate import solve_ivp
from scipy.signal import lfilter

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import InputSpec, SpikeArray

from .comparing import AS_STEPS, CLOSE, by_steps
from .kinds import TRACED, normal, spikes
from .releasing import KERNEL, RELEASE, SPEC, XS, currents, make, released

# Markram, Wang and Tsodyks (1998), PNAS 95:5323, as used in Maass, Natschlaeger and Markram (2002),
# Neural Computation 14:2531: use, recovery and facilitation time constants in ms.
PUBLISHED = {
    "depressing": (0.5, 1100.0, 50.0),
    "facilitating": (0.05, 125.0, 1200.0),
}


# A kernel as small as this is dense where the way is "auto".
@pytest.mark.parametrize("way", ["auto", "events"])
def test_currents_are_those_of_the_equations(way):
    module = make(projection=way)
    np.testing.assert_allclose(module.scan(XS), currents(KERNEL, XS), **CLOSE)
    if way == "auto":
        module.reset()
        np.testing.assert_allclose(by_steps(module, XS), currents(KERNEL, XS), **CLOSE)


@pytest.mark.parametrize("synapse", PUBLISHED)
def test_currents_are_those_of_the_differential_equations(synapse, x64):
    use, recovery, facilitation = PUBLISHED[synapse]
    train = np.zeros(400, bool)
    train[[3, 23, 43, 63, 83, 103, 300]] = True

    def law(t, y):
        usage, resources, current = y
        return [-usage / facilitation, (1 - resources) / recovery, -current / 3.0]

    # Between spikes solved, at spikes as the paper has it.
    y, last, expected = np.array([0.0, 1.0, 0.0]), 0.0, np.zeros(400)
    for t in range(1, 401):
        y = solve_ivp(law, (last, t), y, rtol=1e-10, atol=1e-12).y[:, -1]
        if train[t - 1]:
            y[0] += use * (1 - y[0])
            y[2] += 250.0 * y[0] * y[1]
            y[1] -= y[0] * y[1]
        last, expected[t - 1] = t, y[2]
    release = {"R_tau": recovery, "U_tau": facilitation, "scale_U": use}
    given = {"tau": 3.0, "scale": 1.0, "base": 0.0, **release}
    module = make(np.array([[250.0]]), "float64", 1, **given)
    found = np.asarray(module.scan(train[:, None]))[:, 0]
    closed = currents(np.array([[250.0]]), train[:, None], **given)[:, 0]
    # Some tens of roundings of 1e-16, of currents up to 250.
    np.testing.assert_allclose(found, closed, rtol=1e-12, atol=1e-10)
    # The solver's own tolerance, over 400 pieces.
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    first, second = found[3], found[23] - found[22] * np.exp(-1 / 3)
    assert (second > first) == (synapse == "facilitating")


def test_the_state_is_two_traces_an_input_and_one_a_target():
    module = make()
    module.build({"spikes": InputSpec((5,), batch=(2,))})
    traces = [*module.release_tracer.state.traces, *module.current_tracer.state.traces]
    assert [trace.shape for trace in traces] == [(2, 5), (2, 5), (2, 3)]


@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_scan_equals_steps_in_every_way(method):
    stepped, scanned = make(), make()
    # Some roundings a step, of currents up to 4.
    bound = 4 * tolerance("parallel", "float32")
    for xs in (XS[:4], XS[4:8]):
        found = scanned.scan(xs, method)
        np.testing.assert_allclose(found, by_steps(stepped, xs), rtol=bound, atol=bound)
    for one, two in zip(
        (*scanned.release_tracer.state.traces, *scanned.current_tracer.state.traces),
        (*stepped.release_tracer.state.traces, *stepped.current_tracer.state.traces),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=bound, atol=bound)


# Step by step: what is tested is the rounding of each.
@pytest.mark.parametrize(
    ("dtype", "run"),
    [("float16", lambda module, xs: module.scan(xs, "sequential")), ("bfloat16", by_steps)],
)
def test_half_precision_stays_right_on_average(dtype, run):
    # Over many like inputs, so that what is rounded at random averages out.
    inputs, time = 256, 150
    xs = spikes(3, (time, inputs), 0.05)
    release = {"R_tau": 100.0, "U_tau": 50.0, "scale_U": 0.3}
    # Each target has an input of its own.
    tau, scale = TRACED.arguments["tau"], TRACED.arguments["scale"]
    wanted = lfilter([scale], [1, -np.exp(-1 / tau)], released(xs, **release), axis=0)
    module = make(np.eye(inputs), dtype, inputs, base=0.0, **release)
    found = np.asarray(run(module, xs), np.float64)
    # Three roundings on the way, each as the law is held to.
    assert abs(found.mean() / wanted.mean() - 1) < 3 * tolerance("mean", dtype)
    assert module.release_tracer.dtype == dtype


def test_an_inhibitory_spike_releases_as_any_other():
    mask = np.array([True, False, False, True, False])
    signs = np.where(mask, -1, 1)
    expected = currents(KERNEL, XS * signs)
    np.testing.assert_allclose(make().scan(SpikeArray(XS, mask)), expected, **CLOSE)
    for signed in (XS * signs.astype(np.int8), (XS * signs).astype(np.float32)):
        np.testing.assert_allclose(make().scan(signed), expected, **CLOSE)
    every = make()
    every.scan(SpikeArray(XS, np.ones(5, bool)))
    plain = make()
    plain.scan(XS)
    for one, two in zip(
        every.release_tracer.state.traces, plain.release_tracer.state.traces, strict=True
    ):
        # Booleans and integers make two programs.
        np.testing.assert_allclose(one, two, **AS_STEPS)


def test_graded_spikes_release_in_part_and_a_whole_spike_at_most():
    graded = (np.random.default_rng(4).uniform(-2, 2, XS.shape) * XS).astype(np.float32)
    np.testing.assert_allclose(make().scan(graded), currents(KERNEL, graded), **CLOSE)


def test_the_smallest_integer_releases_as_any_other():
    # int8 has -128, but no 128.
    integers = XS * np.int8(-128)
    np.testing.assert_allclose(make().scan(integers), currents(KERNEL, -1.0 * XS), **CLOSE)


def test_batches_several_axes_and_another_time_step():
    xs = spikes(5, (20, 2, 2, 3))
    kernel, use = normal(6, (2, 2, 2, 3)), np.array([[0.1, 0.5, 0.9]])
    module = make(kernel, units=(2, 2), scale_U=use, U_tau=30.0, dt=0.5)
    module.build({"spikes": InputSpec((2, 3), batch=(2,))})
    found = np.asarray(module.scan(xs))
    for i in range(2):
        part = released(xs[:, i], 60.0, 30.0, use, dt=0.5)
        expected = TRACED.currents(kernel, part, 2, dt=0.5)
        np.testing.assert_allclose(found[:, i], expected, **CLOSE)


def test_gradients_are_finite_differences(x64):
    names = (*RELEASE, "tau", "scale")
    module = make(dtype="float64", trainable=names, scale=np.array([[0.5, 1.0, 2.0, 0.25, 1.0]]))
    module.build(SPEC)
    rng = np.random.default_rng(7)
    aim = rng.normal(size=(40, 3))
    # The second input is silent throughout.
    xs = rng.uniform(0.2, 0.8, XS.shape) * XS * (np.arange(5) != 1)
    definition, parameters, rest = nnx.split(module, nnx.Param, ...)

    @jax.jit
    def run(parameters, xs):
        def loss(parameters, xs):
            synapses = nnx.merge(definition, parameters, rest, copy=True)
            return jnp.vdot(jnp.sin(synapses.scan(xs).value), aim)

        return jax.value_and_grad(loss, (0, 1))(parameters, xs)

    _, (of_parameters, of_spikes) = run(parameters, xs)
    assert len(jax.tree.leaves(of_parameters)) == 1 + len(names)

    leaves, tree = jax.tree.flatten(parameters)
    for number, found in enumerate(jax.tree.leaves(of_parameters)):
        push, step = rng.normal(size=found.shape), 1e-6

        def moved(sign, number=number, push=push, step=step):
            changed = leaves.copy()
            changed[number] = jnp.asarray(np.asarray(changed[number]) + sign * step * push)
            return run(jax.tree.unflatten(tree, changed), xs)[0]

        # Errors of 1e-14 over the step, and third derivatives times its square.
        expected = (moved(1) - moved(-1)) / (2 * step)
        np.testing.assert_allclose(np.vdot(found, push), expected, rtol=1e-6, atol=1e-7)
        assert np.any(np.asarray(found) != 0)

    def value(xs):
        return run(parameters, xs)[0]

    push = rng.normal(size=xs.shape) * (xs > 0)
    expected = (value(xs + 1e-6 * push) - value(xs - 1e-6 * push)) / 2e-6
    np.testing.assert_allclose(np.vdot(of_spikes, push), expected, rtol=1e-6, atol=1e-7)
    # A silent input has the derivative of its first part of a spike, from above.
    only = np.zeros(xs.shape)
    only[20, 1] = 1.0
    ahead = (value(xs + 1e-7 * only) - value(xs)) / 1e-7
    np.testing.assert_allclose(of_spikes[20, 1], ahead, rtol=1e-5, atol=1e-6)


def test_gradients_through_a_mask_at_silent_inputs():
    aim = normal(8, (40, 3))
    mask = np.array([True, False, False, True, False])
    module = make()
    module.build(SPEC)
    definition, state = nnx.split(module)

    @jax.jit
    @jax.grad
    def gradient(xs, mask, kernel):
        synapses = nnx.merge(definition, state, copy=True)
        synapses.kernel = kernel
        return jnp.vdot(synapses.scan(SpikeArray(xs, mask)).value, aim)

    xs = XS.astype("float32")
    found = gradient(xs, mask, KERNEL)
    # An inhibitory input is one of the other sign.
    expected = gradient(xs, np.zeros(5, bool), KERNEL * np.float32(np.where(mask, -1, 1)))
    bound = tolerance("gradient", "float32") * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
    assert np.all(found != 0)


def test_empty_sequences_and_inputs():
    assert make().scan(np.zeros((0, 5), bool)).shape == (0, 3)
    without = make(np.zeros((3, 0)), U_tau=20.0)
    base = np.full(3, TRACED.arguments["base"], np.float32)
    np.testing.assert_array_equal(without(np.zeros(0, bool)), base)


def test_a_nan_weight_of_a_silent_input_reaches_no_target():
    silent = XS.copy()
    silent[:, 2] = False
    module = make()
    module.build(SPEC)
    kernel = KERNEL.copy()
    kernel[:, 2] = np.nan
    module.weights.set_value(jnp.asarray(kernel.T))
    np.testing.assert_allclose(module.scan(silent), currents(KERNEL, silent), **CLOSE)

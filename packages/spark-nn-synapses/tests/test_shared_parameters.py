"""Trained parameters that several connections share, where connections have traces of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from spark.core import checkpoints
from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    FixedFanOut,
    InputSpec,
    KernelInitializerConfig,
    RUTracedSynapses,
    SparseConnectivity,
)

from .comparing import by_steps
from .kinds import DOUBLE, TRACED, spikes
from .shifted import shifted

UNITS, INPUTS, TIME, BATCH = (2, 3), (2, 2), 15, 2
RNG = np.random.default_rng(0)
THERE = RNG.random((*UNITS, *INPUTS)) < 0.5
THERE[..., 0, 1] = False  # an input without connections
KERNEL = RNG.normal(size=THERE.shape) * THERE
PRE, POST = np.nonzero(THERE.reshape(6, 4).T)
WEIGHTS = KERNEL.reshape(6, 4)[POST, PRE]
XS = spikes(1, (TIME, *INPUTS))
CLOSE = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float64"))


def drawn(*shape):
    return RNG.uniform(3, 9, shape)


PER_INPUT, PER_TARGET, PER_SYNAPSE = drawn(1, 1, 2, 2), drawn(2, 3), drawn(2, 3, 2, 2)

# Beside a trained time constant that differs over inputs, one that connections share.
CASES = {
    "scale of targets": (TRACED, {"tau": PER_INPUT, "scale": PER_TARGET}),
    "scale along an axis of targets": (TRACED, {"tau": PER_SYNAPSE, "scale": drawn(2, 1, 1, 1)}),
    "scale of columns": (TRACED, {"tau": drawn(1, 1, 2, 1), "scale": drawn(1, 3, 1, 1)}),
    "tau of targets": (DOUBLE, {"tau_1": PER_INPUT, "tau_2": PER_TARGET, "base_1": PER_TARGET}),
    "tau of both": (DOUBLE, {"tau_1": drawn(1, 3, 2, 1), "tau_2": drawn(2, 1, 1, 2) + 9}),
    "scales of both stages": (
        DOUBLE,
        {"tau_2": PER_SYNAPSE, "scale_1": PER_TARGET, "scale_2": drawn(2, 1, 1, 1)},
    ),
}
every_case = pytest.mark.parametrize(("kind", "given"), CASES.values(), ids=CASES)

pytestmark = pytest.mark.usefixtures("x64")


def make(kind, given, connected=True, batch=(), **options):
    """Synapses with connections, or dense ones that have zeros elsewhere."""
    listed = {"connectivity": SparseConnectivity(pre=PRE, post=POST)} if connected else {}
    options = {"dtype": "float64", "trainable": tuple(given), **listed, **options}
    module = kind.cls(
        units=UNITS,
        kernel_initializer=WEIGHTS if connected else KERNEL,
        **{**kind.arguments, **given, **options},
    )
    asynchronous = options.get("async_spikes", False)
    module.build({"spikes": InputSpec(INPUTS, asynchronous, batch)})
    return module


def gradients(module, xs):
    """Of the parameters of the tracer by name, and of the kernel in the order of connections."""
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params):
        module = nnx.merge(graph, params, rest, copy=True)
        module.reset()  # to rest, which is the base as it is now
        return jnp.sum(jnp.sin(module.scan(xs).value))

    found = jax.jit(jax.grad(loss))(params)
    kernel = np.asarray(found["matrix"]["weights"][...])
    kernel = kernel[PRE, POST] if kernel.ndim > 1 else kernel
    return {name: np.asarray(of[...]) for name, of in found["current_tracer"].items()}, kernel


@every_case
def test_currents_are_those_of_numpy(kind, given):
    module = make(kind, given)
    expected = kind.currents(KERNEL, XS, target_axes=2, **given)
    np.testing.assert_allclose(by_steps(module, XS[:5]), expected[:5], **CLOSE)
    np.testing.assert_allclose(module.scan(XS[5:]), expected[5:], **CLOSE)


@every_case
def test_gradients_are_those_of_the_dense_kernel_and_finite_differences(kind, given):
    dense, sparse = (make(kind, given, each) for each in (False, True))
    (found, of_weights), (expected, of_kernel) = (gradients(each, XS) for each in (sparse, dense))
    bound = {"rtol": 0, "atol": tolerance("gradient", "float64") * np.abs(of_kernel).max()}
    np.testing.assert_allclose(of_weights, of_kernel, **bound)
    bound["atol"] *= 100  # sums over connections, as large as those
    for name, of_dense in expected.items():
        if of_dense.shape != (*INPUTS, *UNITS):  # else one for each connection
            np.testing.assert_allclose(found[name], of_dense.reshape(found[name].shape), **bound)
    assert sparse.current_tracer.shared
    for name in sparse.current_tracer.shared:
        slopes = differences(kind, given, name).reshape(found[name].shape)
        # The error of a central difference: the square of the step, and rounding over it.
        np.testing.assert_allclose(found[name], slopes, atol=1e-8)


def differences(kind, given, name, step=1e-5):
    """Derivatives by a parameter in NumPy, with the axes of the inputs first, as in tracers."""
    slopes = np.empty(given[name].shape)
    for at in np.ndindex(slopes.shape):
        ends = []
        for change in (-step, step):
            changed = given[name].copy()
            changed[at] += change
            currents = kind.currents(KERNEL, XS, 2, **{**given, name: changed})
            ends.append(np.sum(np.sin(currents)))
        slopes[at] = (ends[1] - ends[0]) / (2 * step)
    return np.moveaxis(slopes, (2, 3), (0, 1)) if slopes.ndim > 2 else slopes


def of_targets(**options):
    """Synapses with a time constant of inputs and one of targets, both trained."""
    return make(DOUBLE, {"tau_1": PER_INPUT, "tau_2": PER_TARGET}, **options)


@pytest.mark.parametrize("connected", [False, True])
def test_delays_of_connections(connected):
    steps = RNG.integers(0, 4, THERE.shape)
    steps.reshape(6, 4)[POST, PRE] = np.sort(steps.reshape(6, 4)[POST, PRE])
    module = of_targets(connected=connected, delays=1.0 * steps)
    arguments = {"tau_1": PER_INPUT, "tau_2": PER_TARGET, "async_spikes": True}
    kernel = np.zeros((6, 4))
    pre, post = module.connections
    if connected:  # the kernel is in the order of delays
        kernel[post, pre] = module.kernel.value
    else:
        kernel = KERNEL.reshape(6, 4)
    late = shifted(np.broadcast_to(XS[:, None, None], (TIME, *THERE.shape)).copy(), steps)
    expected = DOUBLE.currents(kernel.reshape(THERE.shape), late, 2, **arguments)
    np.testing.assert_allclose(by_steps(module, XS[:5]), expected[:5], **CLOSE)
    np.testing.assert_allclose(module.scan(XS[5:]), expected[5:], **CLOSE)


def test_spikes_of_connections():
    module = of_targets(async_spikes=True)
    xs = spikes(3, (TIME, len(PRE)))
    whole = np.zeros((TIME, 6, 4))
    whole[:, POST, PRE] = xs
    arguments = {"tau_1": PER_INPUT, "tau_2": PER_TARGET, "async_spikes": True}
    expected = DOUBLE.currents(KERNEL, whole.reshape(TIME, *THERE.shape), 2, **arguments)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)


def test_lengths_resets_and_the_left_limit():
    xs, lengths = spikes(4, (TIME, BATCH, *INPUTS)), np.array([TIME - 4, 3])
    dense, sparse = (of_targets(connected=each, batch=(BATCH,)) for each in (False, True))
    for run in (
        lambda each: each.scan(xs, lengths=lengths),
        lambda each: each.masked_reset(np.array([True, False])) or each.scan(xs),
        lambda each: each.current_tracer.before_input().reshape(BATCH, -1).sum(1),
        lambda each: each.reset() or each.scan(xs),
    ):
        np.testing.assert_allclose(run(sparse), run(dense), **CLOSE)


def test_what_is_beyond_the_end_of_a_row_reaches_no_target():
    module = of_targets()
    pad = np.arange(module.current_tracer.shape[-1]) >= THERE.sum((0, 1))[..., None]
    assert pad.any()
    expected = module.scan(XS).value
    module.reset()
    module.current_tracer.trace_2 = np.where(pad, 1e3, 0.0)
    np.testing.assert_array_equal(module.scan(XS), expected)


def test_the_plastic_class():
    given = {"tau": PER_INPUT, "scale": PER_TARGET}
    kind = dataclasses.replace(TRACED, cls=RUTracedSynapses)
    dense, sparse = (make(kind, given, each) for each in (False, True))
    np.testing.assert_allclose(sparse.scan(XS), dense.scan(XS), **CLOSE)
    (found, _), (expected, _) = (gradients(each, XS) for each in (sparse, dense))
    np.testing.assert_allclose(found["scale"], expected["scale"], rtol=1e-10)


def test_scan_equals_steps_and_resumes_in_half_precision(tmp_path):
    one, two, later = (of_targets(dtype="float16") for _ in range(3))
    expected = by_steps(one, XS)
    assert expected.dtype == np.float16
    found = np.asarray(two.scan(XS[:6]).value)
    two.current_tracer.tau_2 = PER_TARGET.astype(np.float32)
    checkpoints.save(tmp_path, 6, two)
    later.current_tracer.tau_2 = 5.0 * PER_TARGET
    assert checkpoints.restore(tmp_path, later) == 6
    found = np.concatenate([found, later.scan(XS[6:]).value])
    close = dict.fromkeys(("rtol", "atol"), tolerance("steps", "float16"))
    np.testing.assert_allclose(found, expected, **close)
    assert later.current_tracer.tau_2.get_value().dtype == np.float32


def test_a_shared_parameter_is_assigned_as_it_was_given():
    module, other = of_targets(), make(DOUBLE, {"tau_1": PER_INPUT, "tau_2": 2 * PER_TARGET})
    assert module.current_tracer.tau_2.shape == UNITS
    module.current_tracer.tau_2 = 2 * PER_TARGET
    np.testing.assert_array_equal(module.scan(XS), other.scan(XS))
    module.current_tracer.tau_2 = 4.0  # one for all
    expected = DOUBLE.currents(KERNEL, XS, 2, tau_1=PER_INPUT, tau_2=4.0)
    module.reset()
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    refused = (
        (
            np.ones(5),
            r"tau_2 must .* broadcast to \(2, 3\), .* or to \(2, 2, 2, 3\), .* shape \(5,\)",
        ),
        (-PER_TARGET, r"tau_2 must be > 0 \(at least 1e-15\), got -.* at index \(0, 0\)"),
    )
    for value, message in refused:
        with pytest.raises(ValueError, match=message):
            module.current_tracer.tau_2 = value
    with pytest.raises(AttributeError, match="shared of a SharingDoubleTracer is fixed"):
        module.current_tracer.shared = ()


@pytest.mark.parametrize("inputs", [(0,), (3, 0)], ids=str)
def test_no_inputs(inputs):
    taus = {"tau_1": np.full((1, *inputs), 5.0), "tau_2": np.full(3, 5.0)}
    for trainable in ((), ("tau_1", "tau_2")):
        listed = SparseConnectivity(pre=[], post=[])
        module = DoubleTracedSynapses(units=3, connectivity=listed, trainable=trainable, **taus)
        currents = module.scan(np.ones((TIME, *inputs), bool))
        np.testing.assert_array_equal(currents, np.zeros((TIME, 3)))


def test_a_fit_recovers_time_constants_of_inputs_and_of_targets():
    rng = np.random.default_rng(5)
    xs = jnp.asarray(rng.random((200, 12)) < 0.1)
    of_inputs, of_targets = rng.uniform(2, 6, (1, 12)), rng.uniform(10, 20, 8)

    def made(tau_1, tau_2):
        found = DoubleTracedSynapses(
            units=8,
            connectivity=FixedFanOut(fan_out=5),
            kernel_initializer=KernelInitializerConfig(name="constant", value=1.0),
            tau_1=tau_1,
            tau_2=tau_2,
            trainable=("tau_1", "tau_2"),
            dtype="float64",
        )
        found.build({"spikes": InputSpec((12,))})
        return found

    target = made(of_inputs, of_targets).scan(xs).value
    module = made(np.full((1, 12), 4.0), np.full(8, 15.0))
    tracer = nnx.All(nnx.Param, nnx.PathContains("current_tracer"))
    graph, taus, rest = nnx.split(module, tracer, ...)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.3, 1000))

    def loss(taus):
        currents = nnx.merge(graph, taus, rest, copy=True).scan(xs).value
        return jnp.mean((currents - target) ** 2)

    def update(carry, _):
        taus, state = carry
        changes, state = optimizer.update(jax.grad(loss)(taus), state)
        return (optax.apply_updates(taus, changes), state), None

    with jax.numpy_dtype_promotion("standard"):
        fit = jax.jit(lambda carry: jax.lax.scan(update, carry, length=1000)[0])
        found = fit((taus, optimizer.init(taus)))[0]["current_tracer"]
    # Where the last steps of the optimizer end; it starts from 2/3 to 2 times the truth.
    np.testing.assert_allclose(found["tau_1"][...].reshape(1, 12), of_inputs, rtol=0.01)
    np.testing.assert_allclose(found["tau_2"][...], of_targets, rtol=0.01)

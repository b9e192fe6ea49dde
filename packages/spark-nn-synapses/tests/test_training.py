"""Gradients against finite differences in float64, and fits of kernels and time constants."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import lax
from scipy.signal import lfilter

from spark.nn.components.synapses import InputSpec, LinearSynapses, SpikeArray, TracedSynapses

from .kinds import DOUBLE, LINEAR, TRACED, laid_out, normal, pairs, spikes

pytestmark = pytest.mark.versions

KERNEL = normal(0, (3, 5))
XS = spikes(1, (8, 5)).astype(np.float32)
# The third input never spikes: its gradient is there all the same.
XS[:, 2] = 0
AIM = normal(2, (8, 3))
SPEC = {"spikes": InputSpec((5,))}


def loss_of(currents):
    return jnp.sum(jnp.sin(currents) * AIM)


def reference(kind, arguments, kernel=KERNEL):
    """Gradients by parameters, kernel and spikes: central differences, in float64 and NumPy."""
    given = {**kind.arguments, **arguments, "kernel": kernel, "spikes": XS}
    given = {name: np.array(value, np.float64) for name, value in given.items()}
    step, gradients = 1e-5, {}

    def loss():
        currents = kind.currents(given["kernel"], given["spikes"], **parameters)
        return np.sum(np.sin(currents) * AIM)

    parameters = {name: given[name] for name in given if name not in ("kernel", "spikes")}
    for name, value in given.items():
        gradients[name] = np.empty(value.shape)
        for at in np.ndindex(value.shape):
            middle, ends = value[at], []
            for moved in (middle - step, middle + step):
                value[at] = moved
                ends.append(loss())
            value[at] = middle
            gradients[name][at] = (ends[1] - ends[0]) / (2 * step)
    return gradients


def trained(kind, layout, way, names):
    arguments, _ = laid_out(kind, layout)
    options = {"trainable": names} if names else {}
    module = kind.make(KERNEL, projection=way, **arguments, **options)
    module.build(SPEC)
    return module, arguments


def parameters_of(state):
    """Gradients by name, wherever the module keeps what they belong to."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(state))
    found = {path[-1].key: np.asarray(value, np.float64) for path, value in leaves}
    if "tau_2" in found and "base" in found:
        # Added to the sum of several traces.
        found["base_2"] = found.pop("base")
    found["kernel"] = found.pop("weights")
    return found


def all_of(kind):
    """Names of all parameters that the current depends on."""
    return tuple(name for name in kind.arguments if name != "base_1")


# Each from rest, which is the base as it is now.
def by_scan(module, xs):
    module.reset()
    return module.scan(SpikeArray(xs)).value


def by_steps(module, xs):
    module.reset()
    graph, state = nnx.split(module)

    def body(state, x):
        module = nnx.merge(graph, state)
        currents = module(x).value
        return nnx.state(module), currents

    return lax.scan(body, state, xs)[1]


# Products and sums of some tens of float32 terms.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-4}


# Inputs whose time constants are trained have traces of their own; the others share those of
# groups.
@pairs(
    ("kind", "layout", "way", "run", "names"),
    (LINEAR, "scalar", "events", by_scan, ()),
    (TRACED, "per-target", "dense", by_scan, all_of(TRACED)),
    (TRACED, "per-target", "events", by_steps, all_of(TRACED)),
    (TRACED, "two-values", "dense", by_scan, ("scale", "base")),
    (TRACED, "per-synapse", "dense", by_scan, all_of(TRACED)),
    (DOUBLE, "two-values", "events", by_steps, all_of(DOUBLE)),
    (DOUBLE, "scale-per-input", "events", by_scan, all_of(DOUBLE)),
    (DOUBLE, "per-synapse", "dense", by_scan, all_of(DOUBLE)),
)
def test_reverse_mode_is_finite_differences(kind, layout, way, run, names):
    module, arguments = trained(kind, layout, way, names)
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, xs, rest):
        return loss_of(run(nnx.merge(graph, params, rest, copy=True), xs))

    gradients, to_spikes = jax.jit(jax.grad(loss, (0, 1)))(params, jnp.asarray(XS), rest)
    found, expected = parameters_of(gradients), reference(kind, arguments)
    assert set(found) == {"kernel", *names}
    for name, gradient in found.items():
        # Modules keep the axes of the inputs first.
        wanted = expected[name].T
        np.testing.assert_allclose(
            gradient.reshape(wanted.shape), wanted, err_msg=name, **TOLERANCE
        )
    np.testing.assert_allclose(to_spikes, expected["spikes"], **TOLERANCE)
    assert np.abs(expected["spikes"][:, 2]).max() > 1e-3


@pairs(("kind", "layout"), (TRACED, "per-synapse"), (DOUBLE, "scale-per-input"))
def test_forward_mode_is_finite_differences(kind, layout):
    module, arguments = trained(kind, layout, "events", all_of(kind))
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, xs):
        return loss_of(by_scan(nnx.merge(graph, params, rest, copy=True), xs))

    at = (params, jnp.asarray(XS))
    leaves, tree = jax.tree.flatten(at)
    push = jax.tree.unflatten(tree, [jnp.asarray(normal(i, a.shape)) for i, a in enumerate(leaves)])
    _, forward = jax.jit(lambda at, push: jax.jvp(loss, at, push))(at, push)
    moves, slopes = parameters_of(push[0]), reference(kind, arguments)
    expected = np.vdot(push[1], slopes["spikes"])
    expected += sum(np.vdot(move, slopes[name].T) for name, move in moves.items())
    assert float(forward) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", [TRACED, DOUBLE], ids=lambda kind: kind.name)
def test_gradients_in_half_precision_are_those_of_double(kind):
    kernel = np.round(KERNEL * 8) / 8
    module = kind.make(kernel, dtype="float16", trainable=all_of(kind))
    module.build(SPEC)
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params):
        currents = by_scan(nnx.merge(graph, params, rest, copy=True), jnp.asarray(XS))
        return loss_of(currents.astype(jnp.float32))

    found = parameters_of(jax.jit(jax.grad(loss))(params))
    expected = reference(kind, {}, kernel)
    for name, gradient in found.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient, expected[name].T, rtol=0.01, atol=0.01 * scale)


STEPS, LATE = 5000, np.arange(15).reshape(3, 5)


def passed_on(kind, delays_or_taus):
    """How often a weight counts until the end, by formula."""
    if kind is LINEAR:
        return STEPS - delays_or_taus
    scale, ones = kind.arguments["scale"], np.ones(STEPS)
    sums = [lfilter([scale], [1, -np.exp(-1 / tau)], ones).sum() for tau in delays_or_taus.flat]
    return np.reshape(sums, delays_or_taus.shape)


@pairs(
    ("kind", "arguments", "dtype"),
    (LINEAR, {"delays": LATE % 4}, "float16"),
    (TRACED, {"tau": LATE + 1.0}, "bfloat16"),
)
def test_gradients_of_long_runs_in_half_precision_do_not_stop_growing(kind, arguments, dtype):
    # Where steps are added up in float16, 2048 + 1 is 2048; in bfloat16, 256 + 1 is 256.
    xs = jnp.ones((STEPS, 5), bool)
    module = kind.make(np.ones((3, 5)), dtype=dtype, **arguments)
    module.build(SPEC)
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params):
        currents = by_scan(nnx.merge(graph, params, rest, copy=True), xs)
        return jnp.sum(currents.astype(jnp.float32)) / 4

    (gradient,) = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
    assert gradient.dtype == dtype
    pre, post = module.connections
    expected = passed_on(kind, *arguments.values())[post, pre] / 4
    assert expected.min() > 900
    # Rounded once, at the end.
    np.testing.assert_allclose(
        np.asarray(gradient, np.float64).reshape(-1), expected, rtol=float(jnp.finfo(dtype).eps)
    )


@pytest.fixture
def _promotion_for_optax():
    # optax counts steps in int32, and multiplies by numbers of other dtypes.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.usefixtures("_promotion_for_optax")
def test_a_fit_recovers_kernel_and_time_constant():
    xs = jnp.asarray(spikes(3, (200, 5), 0.2))
    target = TRACED.make(KERNEL, tau=12.0).scan(xs).value
    module = TRACED.make(np.zeros((3, 5)), tau=5.0, trainable="tau")
    module.build(SPEC)
    rate = optax.linear_schedule(0.2, 0.002, transition_steps=400, transition_begin=600)
    optimizer = nnx.Optimizer(module, optax.adam(rate), wrt=nnx.Param)

    @nnx.jit
    def fit(module, optimizer):
        def step(_, carry):
            module, optimizer = carry

            def loss(module):
                module.reset()
                return jnp.mean((module.scan(xs).value - target) ** 2)

            optimizer.update(module, nnx.grad(loss)(module))
            return module, optimizer

        nnx.fori_loop(0, 1000, step, (module, optimizer))

    fit(module, optimizer)
    # Nothing but float32 and the last steps of the optimizer stand between fit and truth.
    assert float(module.current_tracer.tau[...]) == pytest.approx(12.0, rel=1e-2)
    np.testing.assert_allclose(module.kernel, KERNEL, atol=1e-2)
    assert float(module.current_tracer.scale[...]) == 0.5  # a constant


def test_surrogate_gradients_reach_what_drives_the_spikes():
    # A spike with the derivative of a sigmoid, as surrogate-gradient training has it.
    @jax.custom_jvp
    def spike(v):
        return (v > 0).astype(jnp.float32)

    spike.defjvp(lambda v, dv: (spike(*v), dv[0] * jax.nn.sigmoid(v[0]) * jax.nn.sigmoid(-v[0])))
    module = LinearSynapses(
        units=3, kernel_initializer=KERNEL, dtype="float32", projection="events"
    )
    module.build(SPEC)
    v = jnp.asarray(normal(4, 5))
    found = jax.grad(lambda v: jnp.sum(module(spike(v)).value))(v)
    s = 1 / (1 + np.exp(-np.asarray(v, np.float64)))
    np.testing.assert_allclose(found, KERNEL.sum(axis=0) * s * (1 - s), rtol=1e-5)


def test_parameters_are_picked_up_by_filters():
    module = TracedSynapses(units=3, trainable=("tau", "scale"), dtype="float16")
    module.build(SPEC)
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    assert set(params) == {"matrix", "current_tracer"}
    assert set(params["current_tracer"]) == {"tau", "scale"}
    # Also where traces are float16.
    assert params["current_tracer"]["tau"].dtype == jnp.float32

"""Gradients against a dense model in float64, and fits of kernels and time constants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import lax

from spark.nn.components.synapses import InputSpec, LinearSynapses, SpikeArray, TracedSynapses

from .kinds import DOUBLE, LINEAR, TRACED, every_sharing, laid_out, normal, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (8, 5)).astype(np.float32)
# The third input never spikes: its gradient is there all the same.
XS[:, 2] = 0
AIM = normal(2, (8, 3))
SPEC = {"spikes": InputSpec((5,))}


def dense_currents(kind, parameters, kernel, xs):
    """Currents with a trace per synapse, in plain JAX: the model to differentiate in float64."""
    drive = kernel[None] * xs[:, None, :]
    decay = {name: jnp.exp(-1 / value) for name, value in parameters.items() if "tau" in name}
    rest = parameters.get("base", parameters.get("base_2", jnp.zeros(())))
    if kind is LINEAR:
        return jnp.sum(drive, axis=-1)

    def single(u, x):
        u = decay["tau"] * u + parameters["scale"] * x
        return u, u

    def double(u, x):
        one, two = u
        a, c = 1 / parameters["tau_1"], 1 / parameters["tau_2"]
        gain = (decay["tau_1"] - decay["tau_2"]) / (c - a)
        two = decay["tau_2"] * two + parameters["scale_2"] * gain * one
        one = decay["tau_1"] * one + parameters["scale_1"] * x
        return (one, two), two

    start = jnp.zeros(kernel.shape)
    body, carry = (single, start) if kind is TRACED else (double, (start, start))
    return jnp.sum(lax.scan(body, carry, drive)[1], axis=-1) + rest


def full_parameters(kind, arguments):
    """Parameters in float64, time constants and scales of one value per synapse."""
    shaped = {}
    for name, value in {**kind.arguments, **arguments}.items():
        value = np.asarray(value, np.float64)
        if not name.startswith("base"):
            value = np.broadcast_to(value[:, None] if value.ndim == 1 else value, (3, 5))
        shaped[name] = value
    return shaped


def loss_of(currents, aim):
    return jnp.sum(jnp.sin(currents) * aim)


def reference(kind, arguments):
    """Gradients in float64 with respect to each parameter, the kernel, and the spikes."""
    jax.config.update("jax_enable_x64", True)
    try:
        parameters = jax.tree.map(jnp.asarray, full_parameters(kind, arguments))

        def loss(parameters, kernel, xs):
            return loss_of(dense_currents(kind, parameters, kernel, xs), AIM.astype(np.float64))

        at = (parameters, jnp.asarray(KERNEL, "float64"), jnp.asarray(XS, "float64"))
        return jax.tree.map(np.asarray, jax.jit(jax.grad(loss, (0, 1, 2)))(*at))
    finally:
        jax.config.update("jax_enable_x64", False)


def folded(gradient, shape):
    """The gradient of a parameter per synapse as that of one that broadcasts from `shape`."""
    if len(shape) == 1:
        return gradient.sum(axis=1)
    axes = tuple(range(2)) if not shape else tuple(i for i in range(2) if shape[i] == 1)
    return gradient.sum(axis=axes, keepdims=bool(shape))


def as_laid_out(gradients, arguments):
    """Gradients as the module has its parameters: inputs first, groups picked."""
    found = {}
    for name, gradient in gradients.items():
        shape = np.shape(arguments.get(name, 0.0))
        if name.startswith("base"):
            found[name] = gradient
        elif len(shape) == 2 and shape[1] > 1:
            found[name] = folded(gradient, shape).T
        else:
            found[name] = folded(gradient, shape if len(shape) < 2 else shape[:1])
    return found


def trained(kind, layout, way="auto"):
    arguments, _ = laid_out(kind, layout)
    names = [name for name in kind.arguments if name != "base_1"]
    options = {"trainable": tuple(names)} if names else {}
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
    return found


def check(found, spikes_gradient, kind, arguments):
    parameters, kernel, xs = reference(kind, arguments)
    expected = as_laid_out(parameters, arguments) | {"weights": kernel.T}
    # Products and sums of some tens of float32 terms.
    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4)
    for name, gradient in found.items():
        close(gradient.reshape(expected[name].shape), expected[name], err_msg=name)
    assert set(found) == set(expected) - {"base_1"}
    close(spikes_gradient, xs)
    assert np.all(np.abs(xs[:, 2]).max(axis=0) > 1e-3)


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


@every_sharing
def test_reverse_mode_is_that_of_float64(kind, layout):
    differentiate(kind, layout, by_scan)


@pytest.mark.parametrize(
    ("kind", "layout"),
    [(TRACED, "per-target"), (TRACED, "per-synapse"), (DOUBLE, "two-values")],
    ids=lambda value: getattr(value, "name", value),
)
def test_reverse_mode_through_a_scan_of_steps(kind, layout):
    differentiate(kind, layout, by_steps)


def differentiate(kind, layout, run):
    module, arguments = trained(kind, layout, "events")
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, xs, rest):
        return loss_of(run(nnx.merge(graph, params, rest, copy=True), xs), AIM)

    found, to_spikes = jax.jit(jax.grad(loss, (0, 1)))(params, jnp.asarray(XS), rest)
    check(parameters_of(found), to_spikes, kind, arguments)


@pytest.mark.parametrize("kind", [LINEAR, TRACED, DOUBLE], ids=lambda kind: kind.name)
def test_events_have_the_gradients_of_a_dense_projection(kind):
    layout = "two-values"
    gradients = []
    for way in ("dense", "events"):
        module, _ = trained(kind, layout, way)
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params, xs, rest, graph=graph):
            return loss_of(by_scan(nnx.merge(graph, params, rest, copy=True), xs), AIM)

        gradients.append(jax.jit(jax.grad(loss, (0, 1)))(params, jnp.asarray(XS), rest))
    for one, two in zip(*map(jax.tree.leaves, gradients), strict=True):
        # The primal sums differ by the order of their terms.
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "layout"),
    [(LINEAR, "scalar"), (TRACED, "per-synapse"), (DOUBLE, "scale-per-input")],
    ids=lambda value: getattr(value, "name", value),
)
def test_forward_mode_is_reverse_mode(kind, layout):
    module, _ = trained(kind, layout, "events")
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(at, rest):
        params, xs = at
        return loss_of(by_scan(nnx.merge(graph, params, rest, copy=True), xs), AIM)

    at = (params, jnp.asarray(XS))
    leaves, tree = jax.tree.flatten(at)
    push = jax.tree.unflatten(tree, [jnp.asarray(normal(i, a.shape)) for i, a in enumerate(leaves)])
    _, forward = jax.jit(lambda at, push, rest: jax.jvp(lambda at: loss(at, rest), (at,), (push,)))(
        at, push, rest
    )
    back = jax.jit(jax.grad(loss))(at, rest)
    products = jax.tree.map(lambda a, b: float(jnp.vdot(a, b)), push, back)
    assert float(forward) == pytest.approx(sum(jax.tree.leaves(products)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", [TRACED, DOUBLE], ids=lambda kind: kind.name)
def test_gradients_in_half_precision_are_those_of_float32(kind):
    gradients = []
    for dtype in ("float16", "float32"):
        names = tuple(name for name in kind.arguments if name != "base_1")
        module = kind.make(np.round(KERNEL * 8) / 8, dtype=dtype, trainable=names)
        module.build(SPEC)
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params, rest, graph=graph):
            currents = by_scan(nnx.merge(graph, params, rest, copy=True), jnp.asarray(XS))
            return loss_of(currents.astype(jnp.float32), AIM)

        gradients.append(parameters_of(jax.jit(jax.grad(loss))(params, rest)))
    for name in gradients[0]:
        scale = np.abs(gradients[1][name]).max()
        np.testing.assert_allclose(*(g[name] for g in gradients), rtol=0.01, atol=0.01 * scale)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (LINEAR, {"delays": np.arange(15).reshape(3, 5) % 4}),
        (TRACED, {"tau": np.arange(15).reshape(3, 5) + 1.0}),
    ],
    ids=["delays of connections", "a trace per synapse"],
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_long_runs_in_half_precision_do_not_stop_growing(kind, arguments, dtype):
    # Where steps are added up in float16, 2048 + 1 is 2048; in bfloat16, 256 + 1 is 256.
    xs = jnp.ones((5000, 5), bool)
    gradients = []
    for each in (dtype, "float32"):
        module = kind.make(np.ones((3, 5)), dtype=each, **arguments)
        module.build(SPEC)
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params, rest, graph=graph):
            currents = by_scan(nnx.merge(graph, params, rest, copy=True), xs)
            return jnp.sum(currents.astype(jnp.float32)) / 4

        gradients.append(jax.tree.leaves(jax.jit(jax.grad(loss))(params, rest))[0])
    half, single = (np.asarray(gradient, np.float64) for gradient in gradients)
    assert gradients[0].dtype == dtype
    assert single.min() > 900
    # Rounded once, at the end.
    np.testing.assert_allclose(half, single, rtol=float(jnp.finfo(dtype).eps))


@pytest.fixture
def _promotion_for_optax():
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
    assert set(params) == {"weights", "current_tracer"}
    assert set(params["current_tracer"]) == {"tau", "scale"}
    # Also where traces are float16.
    assert params["current_tracer"]["tau"].dtype == jnp.float32

"""Synapses of few connections: against SciPy and the dense kernel with zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    SpikeArray,
)

from .comparing import AS_STEPS, CLOSE, by_steps, same_gradients
from .graphs import with_zeros
from .kinds import DOUBLE, LINEAR, TRACED, exact, laid_out, normal, spikes

# 5 inputs and 3 targets, with an empty row, and one connection that comes twice.
PRE, POST = np.array([0, 0, 1, 3, 3, 3, 4, 4]), np.array([0, 2, 1, 0, 1, 2, 2, 2])
CONNECTED = SparseConnectivity(pre=PRE, post=POST)
WEIGHTS = normal(0, 8)
XS = spikes(1, (40, 5))
SPEC = {"spikes": InputSpec((5,))}


def whole(weights=WEIGHTS):
    return with_zeros(weights, 3, 5, PRE, POST)


def make(kind, weights=WEIGHTS, **kwargs):
    module = kind.make(weights, connectivity=CONNECTED, **kwargs)
    module.build(SPEC)
    return module


# What is along rows does not know of the way, nor of the steps: each of them with some layouts.
@pytest.mark.parametrize(
    ("kind", "layout", "way", "run"),
    [
        (LINEAR, "scalar", "dense", by_steps),
        (TRACED, "scale-per-input", "events", by_steps),
        (TRACED, "two-values-per-target", "dense", by_steps),
        (TRACED, "per-synapse", "events", lambda module, xs: module.scan(xs)),
        (DOUBLE, "two-values", "dense", lambda module, xs: module.scan(xs)),
    ],
    ids=lambda value: getattr(value, "name", value if isinstance(value, str) else ""),
)
def test_currents_are_those_of_the_dense_kernel_in_every_layout(kind, layout, way, run):
    arguments, several = laid_out(kind, layout)
    module = make(kind, projection=way, **arguments)
    expected = kind.currents(whole(), XS, **arguments)
    np.testing.assert_allclose(run(module, XS), expected, **CLOSE)
    assert [trace.size for trace in kind.state(module)] == [3 * several] * len(kind.traces)


def test_targets_and_inputs_of_several_axes():
    units, inputs = (2, 3), (4, 2)
    rng = np.random.default_rng(2)
    pre, post, weights = rng.integers(8, size=9), rng.integers(6, size=9), normal(3, 9)
    given = SparseConnectivity(pre=pre, post=post, weights=weights)
    xs = spikes(3, (20, *inputs))
    module = TRACED.cls(units=units, connectivity=given, dtype="float32", **TRACED.arguments)
    found = module.scan(xs)
    assert found.shape == (20, *units)
    kernel = with_zeros(weights, 6, 8, pre, post).reshape(*units, *inputs)
    np.testing.assert_allclose(found, TRACED.currents(kernel, xs, 2), **CLOSE)


def test_inhibitory_and_graded_spikes():
    mask = np.array([True, False, False, True, False])
    graded = (normal(5, XS.shape) * XS).astype(np.float32)
    module = make(TRACED)
    expected = TRACED.currents(whole(), graded * np.where(mask, -1, 1))
    np.testing.assert_allclose(module.scan(SpikeArray(graded, mask)), expected, **CLOSE)


@pytest.mark.parametrize(
    ("kind", "layout", "dtype"),
    [(TRACED, "two-values", "float16"), (DOUBLE, "two-values", "float32")],
)
def test_scan_equals_steps_by_call_and_by_lax(kind, layout, dtype):
    # Weights that add up without rounding.
    weights, (arguments, _) = exact(6, 8), laid_out(kind, layout)
    options = {"dtype": dtype, "projection": "dense", **arguments}
    stepped, scanned, split = (make(kind, weights, **options) for _ in range(3))
    ys, found = by_steps(stepped, XS), np.asarray(scanned.scan(XS, "sequential"))
    assert found.dtype == jnp.dtype(dtype)
    for one, two in zip(kind.state(stepped), kind.state(scanned), strict=True):
        np.testing.assert_allclose(one, two, **AS_STEPS)
    if dtype == "float32":
        np.testing.assert_allclose(found, ys, **AS_STEPS)
        return
    np.testing.assert_array_equal(found, ys)
    definition, state = nnx.split(split)

    def body(state, x):
        module = nnx.merge(definition, state)
        currents = module(x)
        return nnx.state(module), currents

    _, currents = jax.jit(lambda state, xs: lax.scan(body, state, xs))(state, XS)
    np.testing.assert_array_equal(currents, ys)


def test_batch_axes_are_separate_modules():
    arguments, xs = laid_out(TRACED, "two-values")[0], spikes(8, (12, 2, 5))
    together = TRACED.make(WEIGHTS, connectivity=CONNECTED, **arguments)
    together.build({"spikes": InputSpec((5,), batch=(2,))})
    found = np.asarray(together.scan(xs))
    for i in range(2):
        expected = TRACED.currents(whole(), xs[:, i], **arguments)
        np.testing.assert_allclose(found[:, i], expected, **CLOSE)


def test_a_nan_weight_of_a_silent_input_reaches_no_target():
    silent = XS.copy()
    silent[:, [1, 4]] = False
    module = make(TRACED)
    faulty = np.where(np.isin(PRE, [1, 4]), np.float32(np.nan), WEIGHTS)
    module.weights.set_value(jnp.asarray(faulty))
    np.testing.assert_allclose(module.scan(silent), TRACED.currents(whole(), silent), **CLOSE)


def test_a_nan_in_the_scale_of_a_silent_input_reaches_no_target():
    silent = XS.astype("float32")
    silent[:, [1, 4]] = 0
    scale = np.arange(1.0, 6.0)[None]
    module = make(TRACED, scale=scale, trainable="scale")
    gains = module.gains["scale"]
    expected = TRACED.currents(whole(), silent, scale=scale)
    one = silent.copy()
    one[20, 4] = 1
    reached = POST[np.isin(PRE, 4)]
    for fault in (np.nan, np.inf):
        faulty = np.array(gains[...])
        faulty[[1, 4]] = fault
        gains.set_value(jnp.asarray(faulty))
        module.reset()
        np.testing.assert_allclose(module.scan(silent), expected, **CLOSE)
        module.reset()
        found = np.isfinite(module.scan(one))
        np.testing.assert_array_equal(found[19:21], [[True] * 3, ~np.isin(np.arange(3), reached)])


def test_a_kernel_that_changes_between_steps():
    module = make(TRACED)
    first = by_steps(module, XS[:10])
    module.kernel = -2 * WEIGHTS
    found = np.concatenate([first, module.scan(XS)])
    kernels = np.stack([whole()] * 10 + [whole(-2 * WEIGHTS)] * 40)
    expected = TRACED.currents(kernels, np.concatenate([XS[:10], XS]))
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_double_precision(x64):
    module = make(TRACED, dtype="float64")
    # Some tens of roundings of 1e-16.
    expected = TRACED.currents(whole(), XS[:5])
    np.testing.assert_allclose(by_steps(module, XS[:5]), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "connectivity", [RandomConnectivity(probability=0.3), FixedFanOut(fan_out=2)]
)
def test_drawn_connections_carry_the_kernel(connectivity):
    module = LINEAR.cls(units=3, connectivity=connectivity, dtype="float32")
    module.build(SPEC)
    pre, post = map(np.asarray, module.connections)
    assert len(pre) == (10 if isinstance(connectivity, FixedFanOut) else len(module.kernel))
    kernel = with_zeros(module.kernel, 3, 5, pre, post)
    np.testing.assert_allclose(by_steps(module, XS[:9]), XS[:9] @ kernel.T, **CLOSE)


# Training.


@nnx.jit
def gradients(module, xs, aim):
    def loss(module, xs):
        return jnp.sum(jnp.sin(module.scan(xs).value) * aim)

    return nnx.grad(loss, argnums=(0, 1))(module, xs)


AIM = normal(2, (40, 3))


def test_gradients_are_those_of_the_dense_module():
    # With respect to weights, time constant, a scale of each input, and spikes.
    arguments = {"scale": np.array([[0.5, 1.0, 2.0, 0.25, 1.0]]), "trainable": ("tau", "scale")}
    xs = XS.astype(np.float32)
    dense = TRACED.make(whole(), **arguments)
    dense.build(SPEC)
    (ours, ours_xs), (theirs, theirs_xs) = (
        gradients(each, xs, AIM) for each in (make(TRACED, **arguments), dense)
    )
    of_kernel = np.asarray(theirs["matrix"]["weights"].get_value())[PRE, POST]

    def others(of):
        return of["current_tracer"]["tau"].get_value(), of["matrix"]["gains"]["scale"].get_value()

    same_gradients(
        [ours["matrix"]["weights"].get_value(), *others(ours), ours_xs],
        [of_kernel, *others(theirs), theirs_xs],
    )
    # Inputs that never spike have a gradient too.
    assert np.all(np.asarray(ours_xs)[:, [0, 1, 3, 4]] != 0)


def test_a_scale_of_each_connection_is_trained_along_rows():
    scale = np.arange(1.0, 16).reshape(3, 5)
    module = make(TRACED, scale=scale, trainable="scale")
    assert module.gains["scale"].get_value().tolist() == scale[POST, PRE].tolist()
    found, _ = gradients(module, XS.astype(np.float32), AIM)
    # A weight and its scale are one product.
    of_scale, of_weights = (
        found["matrix"]["gains"]["scale"].get_value(),
        found["matrix"]["weights"].get_value(),
    )
    assert np.all(np.asarray(of_weights)[PRE != 1] != 0)
    expected = np.asarray(of_weights) * WEIGHTS / scale[POST, PRE]
    np.testing.assert_allclose(of_scale, expected, rtol=1e-4, atol=1e-5)


# Transforms.


def test_vmap_over_kernels():
    definition, state = nnx.split(make(TRACED))

    def run(state, kernel):
        each = nnx.merge(definition, state)
        each.kernel = kernel
        return each.scan(XS).value

    kernels = np.stack([WEIGHTS, -2 * WEIGHTS])
    every = jax.jit(jax.vmap(run, (None, 0)))(state, kernels)
    for found, weights in zip(every, kernels, strict=True):
        np.testing.assert_allclose(found, TRACED.currents(whole(weights), XS), **CLOSE)


def test_building_inside_jit():
    def build():
        return make(TRACED, exact(6, 8))

    np.testing.assert_array_equal(nnx.jit(build)().scan(XS), build().scan(XS))


def test_connections_of_one_number_share_their_compiled_programs():
    # What is compiled goes by the chain, and by shapes and dtypes.
    def static(module):
        return module.chain, jax.tree.map(jax.typeof, nnx.state(module))

    modules = []
    for seed in range(2):
        module = LinearSynapses(
            units=30, connectivity=FixedFanOut(fan_out=4), seed=seed, dtype="float32"
        )
        module.build(SPEC)
        modules.append(module)
    one, other = map(static, modules)
    assert one == other
    assert hash(one[0]) == hash(other[0])
    # A step and another kernel leave both as they are.
    modules[0](XS[0])
    modules[0].kernel = np.ones(20)
    assert static(modules[0]) == other
    assert np.any(modules[0].connections[1] != modules[1].connections[1])


# Procedural connectivity.


def test_procedural_connections_with_a_constant_weight_are_a_stored_kernel():
    connectivity = ProceduralConnectivity(fan_out=6, law="constant")
    module = LinearSynapses(units=7, connectivity=connectivity, dtype="float32")
    module.build({"spikes": InputSpec((20,))})
    module.kernel = [2.5]
    pre, post = map(np.asarray, module.connections)
    xs = spikes(2, (5, 20))
    # Multiples of 2.5 add up without rounding.
    expected = xs @ with_zeros(np.full(120, 2.5), 7, 20, pre, post).T
    np.testing.assert_array_equal(module.scan(xs), expected)

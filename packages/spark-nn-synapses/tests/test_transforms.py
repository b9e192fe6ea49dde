"""Synapses under the transforms of JAX and Flax NNX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.core.tracers import Constant, TraceState
from spark.nn.components.synapses import CurrentArray, InputSpec, SpikeArray, TracedSynapses

from .comparing import by_steps
from .kinds import (
    DOUBLE,
    LINEAR,
    TRACED,
    every_kind,
    exact,
    laid_out,
    one_of_each_sharing,
    pairs,
    spikes,
)

pytestmark = pytest.mark.versions

KERNEL = exact(0, (3, 5))
XS = spikes(1, (12, 5))
SPEC = {"spikes": InputSpec((5,))}


def built(kind, layout=None, **kwargs):
    arguments = laid_out(kind, layout)[0] if layout else {}
    module = kind.make(KERNEL, **{"dtype": "float16", **arguments, **kwargs})
    module.build(SPEC)
    return module


def same(kind, module, ys, stepped):
    np.testing.assert_array_equal(ys, by_steps(stepped, XS))
    for one, two in zip(kind.state(module), kind.state(stepped), strict=True):
        np.testing.assert_array_equal(one, two)


# Each variable that a module can have: traces, gains, groups, a base of several traces.
every_variable = pairs(
    ("kind", "layout"), (LINEAR, "scalar"), (DOUBLE, "scale-per-input"), (TRACED, "two-values")
)


@every_variable
def test_nnx_jit(kind, layout):
    module = built(kind, layout)
    step = nnx.jit(lambda module, x: module(x).value)
    ys = [step(module, jnp.asarray(x)) for x in XS]
    same(kind, module, np.stack(ys), built(kind, layout))


@every_variable
def test_split_and_merge_under_lax_scan(kind, layout):
    module = built(kind, layout)
    graph, state = nnx.split(module)

    def body(state, x):
        module = nnx.merge(graph, state)
        currents = module(x)
        return nnx.state(module), currents

    state, currents = jax.jit(lambda state, xs: lax.scan(body, state, xs))(state, jnp.asarray(XS))
    nnx.update(module, state)
    assert isinstance(currents, CurrentArray)
    same(kind, module, currents, built(kind, layout))


def test_nnx_scan():
    kind, module = DOUBLE, built(DOUBLE, "scale-per-input")

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def run(module, x):
        return module, module(x)

    _, currents = run(module, jnp.asarray(XS))
    same(kind, module, currents, built(kind, "scale-per-input"))


def test_scan_method_under_nnx_jit():
    kind, module = TRACED, built(TRACED, "two-values")
    currents = nnx.jit(lambda module, xs: module.scan(xs, "sequential"))(module, jnp.asarray(XS))
    same(kind, module, currents, built(kind, "two-values"))


@one_of_each_sharing
def test_vmap_over_states_split_from_the_module(kind, layout):
    # Each sample has traces of its own; kernel and parameters are shared.
    xs = jnp.asarray(spikes(2, (2, 12, 5)))
    module = built(kind, layout, dtype="float32")
    graph, traces, rest = nnx.split(module, TraceState, ...)

    def run(traces, rest, xs):
        module = nnx.merge(graph, traces, rest)
        currents = module.scan(SpikeArray(xs), "sequential")
        return nnx.state(module, TraceState), currents

    after, currents = jax.jit(jax.vmap(run, (None, None, 0)))(traces, rest, xs)
    for i in range(2):
        alone = built(kind, layout, dtype="float32")
        # XLA may fuse a product and a sum for one shape and not for the other.
        expected = alone.scan(xs[i], "sequential")
        np.testing.assert_allclose(currents.value[i], expected, rtol=1e-6, atol=1e-6)
        for one, two in zip(
            jax.tree.leaves(after), jax.tree.leaves(nnx.state(alone, TraceState)), strict=True
        ):
            np.testing.assert_allclose(one[i], two, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [LINEAR, TRACED], ids=lambda kind: kind.name)
def test_vmap_over_kernels(kind):
    kernels = jnp.asarray(np.stack([KERNEL, -KERNEL]), "float16")
    module = built(kind)
    graph, state = nnx.split(module)

    def run(state, kernel):
        module = nnx.merge(graph, state)
        module.kernel = kernel
        return module.scan(jnp.asarray(XS), "sequential").value

    found = jax.jit(jax.vmap(run, (None, 0)))(state, kernels)
    for i, sign in enumerate((1, -1)):
        alone = built(kind)
        alone.kernel = sign * KERNEL
        np.testing.assert_array_equal(found[i], alone.scan(XS, "sequential"))


def test_an_ensemble_by_split_random_numbers():
    @nnx.split_rngs(splits=4)
    @nnx.vmap
    def make(rngs):
        module = TracedSynapses(units=3, rngs=rngs)
        module.build(SPEC)
        return module

    rngs = nnx.Rngs(0)
    modules = make(rngs)
    kernels = np.asarray(modules.weights.get_value())
    assert kernels.shape == (4, 5, 3)
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    currents = nnx.vmap(lambda module, x: module(x), in_axes=(0, None))(modules, jnp.ones(5, bool))
    expected = kernels.astype(np.float32).sum(axis=1)
    # Stored in float16: half a unit in the last place if nearest, a whole one if stochastic.
    np.testing.assert_allclose(currents, expected, rtol=2**-10)
    # What the caller draws from afterwards is still his.
    assert rngs.params().shape == ()


@pairs(
    ("kind", "layout"),
    (TRACED, "two-values"),
    (DOUBLE, "per-target"),
    (DOUBLE, "per-synapse"),
)
def test_building_inside_jit(kind, layout):
    def make():
        module = kind.make(KERNEL, dtype="float16", **laid_out(kind, layout)[0])
        module.build(SPEC)
        return module

    np.testing.assert_array_equal(nnx.jit(make)().scan(XS), make().scan(XS))


def test_building_a_given_module_inside_jit():
    module = TracedSynapses(units=3, seed=5)
    nnx.jit(lambda module: module.build(SPEC))(module)
    outside = TracedSynapses(units=3, seed=5)
    outside.build(SPEC)
    np.testing.assert_array_equal(module.kernel, outside.kernel)
    np.testing.assert_array_equal(module.scan(XS), outside.scan(XS))


def test_eval_shape_gives_shape_and_dtype_of_currents():
    module = built(TRACED)
    graph, state = nnx.split(module)
    found = jax.eval_shape(
        lambda state, xs: nnx.merge(graph, state).scan(SpikeArray(xs)),
        state,
        jax.ShapeDtypeStruct((7, 5), bool),
    )
    assert isinstance(found, CurrentArray)
    assert (found.shape, found.dtype) == ((7, 3), jnp.float16)


def test_payloads_pass_through_jit():
    module = built(TRACED)
    mask = np.array([True, False, False, True, False])
    given = SpikeArray(XS, mask)
    found = nnx.jit(lambda module, xs: module.scan(xs, "sequential"))(module, given)
    np.testing.assert_array_equal(found, built(TRACED).scan(given, "sequential"))


def test_the_kernel_is_read_and_set_inside_jit():
    module = built(TRACED, dtype="float32")

    @nnx.jit
    def learn(module, x):
        currents = module(x)
        module.kernel = module.kernel.value + currents.value[:, None]
        return currents

    before = np.asarray(module.kernel)
    currents = learn(module, jnp.asarray(XS[0]))
    np.testing.assert_array_equal(module.kernel, before + np.asarray(currents)[:, None])


def test_two_modules_of_one_class_whose_configurations_hold_arrays():
    one = built(TRACED, tau=np.array([4.0, 7.0, 9.0]))
    two = built(TRACED, tau=np.array([4.0, 7.0, 8.0]))
    alike = built(TRACED, tau=np.array([4.0, 7.0, 9.0]))
    step = nnx.jit(lambda one, two, x: one(x) + two(x))
    counted = []

    @nnx.jit
    def count(module, x):
        counted.append(None)
        return module(x)

    for x in XS[:3]:
        expected = np.asarray(built_at(one, x) + built_at(two, x))
        np.testing.assert_array_equal(step(one, two, jnp.asarray(x)), expected)
    for module in (one, alike, one):
        count(module, jnp.asarray(XS[0]))
    assert len(counted) == 1
    count(two, jnp.asarray(XS[0]))
    assert len(counted) == 2


def built_at(module, x):
    """What a copy of a module returns for a step."""
    return nnx.clone(module)(x)


def test_filters_of_flax_tell_variables_apart():
    module = built(TRACED, "two-values", trainable=("scale",))
    assert set(nnx.state(module, nnx.Param)) == {"matrix", "current_tracer"}
    assert set(nnx.state(module, TraceState)["current_tracer"]) == {"trace"}
    assert set(nnx.state(module, Constant)) == {"total", "matrix", "current_tracer"}


def test_a_clone_shares_no_state():
    module = built(TRACED)
    module.scan(XS)
    twin = nnx.clone(module)
    (before,) = TRACED.state(module)
    twin.scan(XS)
    twin.kernel = -KERNEL
    np.testing.assert_array_equal(TRACED.state(module)[0], before)
    np.testing.assert_array_equal(module.kernel, KERNEL)


@pytest.fixture
def no_tracing():
    """A function after which to trace anything anew is an error."""

    def forbid():
        jax.config.update("jax_no_tracing", True)

    yield forbid
    jax.config.update("jax_no_tracing", False)


@every_kind
def test_modules_and_steps_of_one_shape_share_a_program(kind, no_tracing):
    modules = [built(kind, seed=seed) for seed in range(3)]
    modules[0](XS[0])
    no_tracing()
    for module in modules:
        for x in XS[:3]:
            module(x)
        module.kernel = 2 * KERNEL
        module(XS[0])
    # Spikes of another dtype have a program of their own.
    with pytest.raises(RuntimeError, match="no_tracing"):
        modules[0](XS[0].astype(np.float32))

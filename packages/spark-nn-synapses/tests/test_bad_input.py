"""What is refused, in words that name the argument, what came and what would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    KernelInitializerConfig,
    LinearSynapses,
    LinearSynapsesConfig,
    SpikeArray,
    TracedSynapses,
    TracedSynapsesConfig,
)
from spark.nn.configs import ConfigError

from .kinds import TRACED, every_kind, normal, spikes

KERNEL = normal(0, (3, 5))
SPEC = {"spikes": InputSpec((5,))}

REFUSED = [
    (lambda: LinearSynapses(), "LinearSynapsesConfig: units is missing"),
    (lambda: LinearSynapses(units=()), r"units must be a positive integer .* got \(\)"),
    (lambda: LinearSynapses(units=0), r"units must be a positive integer .* got 0"),
    (lambda: LinearSynapses(units=(2, -3)), r"units must be a positive .* got \(2, -3\)"),
    (lambda: LinearSynapses(units=2.0), r"units must be a positive integer"),
    (lambda: LinearSynapses(units=2, tau=3.0), "unknown field 'tau'"),
    (lambda: TracedSynapses(units=2, taus=3.0), "unknown field 'taus'; did you mean 'tau'"),
    (lambda: LinearSynapses(units=2, async_spikes=1), "async_spikes must be a boolean"),
    (lambda: LinearSynapses(units=2, dtype="int8"), "dtype must be one of float16"),
    (lambda: LinearSynapses(units=2, kernel_dtype="int8"), "kernel_dtype must be one of float16"),
    (lambda: LinearSynapses(units=2, projection="fast"), "projection must be 'auto', 'dense'"),
    (lambda: LinearSynapses(units=2, dt=0), "dt must be finite and > 0, got 0"),
    (lambda: LinearSynapses(units=2, seed=jax.random.key(0)), "give keys to the module, as rngs"),
    (lambda: LinearSynapses(units=2, kernel_initializer="sparse"), "got 'sparse'"),
    (
        lambda: LinearSynapses(units=2, kernel_initializer=KernelInitializerConfig(name="sparse")),
        "name: unknown initializer 'sparse'; did you mean",
    ),
    (
        lambda: LinearSynapses(units=2, kernel_initializer=np.array([[1.0, np.nan]])),
        r"as an array it must be finite, got nan at index \(0, 1\)",
    ),
    (
        lambda: KernelInitializerConfig(name="truncated_normal", lower=2.0, upper=1.0),
        r"lower must be below upper, got 2\.0 and 1\.0",
    ),
    (lambda: TracedSynapses(units=2, tau=0.0), "tau must be > 0, got 0"),
    (
        lambda: TracedSynapses(units=2, tau=[1.0, -1.0]),
        r"tau must be > 0, got -1.0 at index \(1,\)",
    ),
    (lambda: TracedSynapses(units=2, scale=np.nan), "scale must be finite"),
    (lambda: TracedSynapses(units=2, base="low"), "base must be a number"),
    (lambda: TracedSynapses(units=2, integrator="rk4"), "integrator must be 'exact' or 'euler'"),
    (lambda: TracedSynapses(units=2, trainable="kernel"), "trainable must name some of tau, scale"),
    (lambda: DoubleTracedSynapses(units=2, tau=5.0), "unknown field 'tau'; did you mean 'tau_"),
    (lambda: DoubleTracedSynapses(units=2, trainable="tau"), "trainable must name some of tau_1"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_configuration_refuses(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_constructor_refuses():
    with pytest.raises(TypeError, match="config must be a TracedSynapsesConfig or None"):
        TracedSynapses(LinearSynapsesConfig(units=2))
    with pytest.raises(TypeError, match="config must be a LinearSynapsesConfig or None, got 3"):
        LinearSynapses(3)
    with pytest.raises(TypeError, match=r"rngs must be an nnx.Rngs or None, got 3"):
        LinearSynapses(units=2, rngs=3)
    with pytest.raises(ConfigError, match="units must be"):
        TracedSynapses(TracedSynapsesConfig(units=2), units=-1)


ASYNC = SpikeArray(np.zeros((3, 5), bool), async_spikes=True)
# What is wrong with a build, by arguments of the module and by the specification.
BAD_BUILDS = [
    ({}, None, TypeError, "input_specs must be a mapping with the key 'spikes'"),
    ({}, {"currents": InputSpec((5,))}, TypeError, "input_specs must be a mapping with the key"),
    ({}, {"spikes": 5}, TypeError, r"input_specs\['spikes'\] must have a shape, got 5"),
    ({}, {"spikes": InputSpec(())}, ValueError, "must be an axis or more"),
    ({}, {"spikes": InputSpec((-5,))}, ValueError, r"shape .* must be integers >= 0"),
    ({}, {"spikes": InputSpec((5.0,))}, ValueError, r"shape .* must be integers >= 0"),
    ({}, {"spikes": InputSpec((5,), batch=(-1,))}, ValueError, r"batch .* must be integers >= 0"),
    ({}, {"spikes": ASYNC}, ValueError, "async_spikes=True, the configuration async_spikes=False"),
    ({"async_spikes": True}, SPEC, ValueError, "async_spikes=False, the configuration async_sp"),
    (
        {"async_spikes": True},
        {"spikes": InputSpec((4, 5), True)},
        ValueError,
        r"must be units \(3,\) followed by the input shape, got \(4, 5\)",
    ),
    (
        {"async_spikes": True},
        {"spikes": InputSpec((3,), True)},
        ValueError,
        r"followed by the input shape, got \(3,\)",
    ),
    ({}, {"spikes": InputSpec((4,))}, ValueError, r"kernel_initializer must have .* \(3, 4\), got"),
    (
        {"kernel_initializer": lambda key, shape, dtype: jnp.ones((5, 3), dtype)},
        SPEC,
        ValueError,
        r"kernel_initializer must have shape units \+ input_shape = \(3, 5\), got \(5, 3\)",
    ),
    (
        {"kernel_initializer": lambda key, shape, dtype: jnp.full(shape, jnp.nan, dtype)},
        SPEC,
        ValueError,
        r"kernel_initializer must be finite in float32, got nan at index \(0, 0\)",
    ),
    (
        {"kernel_initializer": lambda key, shape, dtype: "kernel"},
        SPEC,
        TypeError,
        "kernel_initializer must be an array of numbers, got 'kernel'",
    ),
    (
        {"kernel_initializer": np.full((3, 5), 1e6), "kernel_dtype": "float16"},
        SPEC,
        ValueError,
        "kernel_initializer must be finite in float16, got 1000000.0",
    ),
    ({"dtype": "float64"}, SPEC, ValueError, "dtype float64 needs 64-bit types in JAX"),
    ({"kernel_dtype": "float64"}, SPEC, ValueError, "float64 needs 64-bit types in JAX"),
]
BAD_TRACERS = [
    ({"tau": np.ones(4)}, r"tau must be a scalar or of shape \(3,\), .* got shape \(4,\)"),
    ({"tau": np.ones((3, 4))}, r"broadcastable to the kernel of shape \(3, 5\); got shape \(3, 4"),
    ({"scale": np.ones(5)}, r"scale must be a scalar or of shape \(3,\)"),
    ({"base": np.ones((3, 1))}, r"base must be a scalar or of shape \(3,\), .* got shape \(3, 1\)"),
    ({"tau": 0.5, "integrator": "euler"}, "tau must be at least dt = 1 for Euler"),
    ({"base": 1e6, "dtype": "float16"}, r"base must lie within \[-65504, 65504\]"),
]


@pytest.mark.parametrize(("arguments", "spec", "error", "message"), BAD_BUILDS)
def test_build_refuses_and_allocates_nothing(arguments, spec, error, message):
    options = {"kernel_initializer": KERNEL, "dtype": "float32", **arguments}
    module = TracedSynapses(units=3, **options)
    with pytest.raises(error, match=message):
        module.build(spec)
    assert module.weights is module.current_tracer is module.chain is None


@pytest.mark.parametrize(("arguments", "message"), BAD_TRACERS)
def test_build_refuses_parameters_that_do_not_fit(arguments, message):
    options = {"kernel_initializer": KERNEL, "dtype": "float32", **arguments}
    module = TracedSynapses(units=3, **options)
    with pytest.raises(ValueError, match=message):
        module.build(SPEC)
    assert module.weights is module.current_tracer is module.chain is None


def test_a_refused_build_leaves_the_module_as_built():
    module = TRACED.make(KERNEL)
    module.scan(spikes(0, (4, 5)))
    (before,) = TRACED.state(module)
    with pytest.raises(ValueError, match="kernel_initializer must have shape"):
        module.build({"spikes": InputSpec((4,), batch=(2,))})
    np.testing.assert_array_equal(TRACED.state(module)[0], before)
    assert (module.batch, module.kernel.shape) == ((), (3, 5))


def test_a_refused_build_draws_nothing():
    refused, other = (
        LinearSynapses(units=3, delays=np.ones(5), rngs=nnx.Rngs(0)) for _ in range(2)
    )
    with pytest.raises(ValueError, match="delays"):
        refused.build({"spikes": InputSpec((4,))})
    for module in (refused, other):
        module.build(SPEC)
    np.testing.assert_array_equal(refused.kernel, other.kernel)


BAD_CALLS = [
    (lambda m: m(np.ones(4)), ValueError, r"spikes must have shape \(5,\), got \(4,\)"),
    (lambda m: m(np.ones((1, 5))), ValueError, r"must have shape \(5,\), got \(1, 5\); batch axes"),
    (lambda m: m(1.0), ValueError, r"spikes must have shape \(5,\), got \(\)"),
    (lambda m: m("spikes"), TypeError, "spikes must be boolean, integer or floating"),
    (lambda m: m(np.ones(5, complex)), TypeError, "spikes must be boolean, integer or floating"),
    (lambda m: m(None), TypeError, "spikes must be boolean, integer or floating"),
    (lambda m: m(ASYNC), ValueError, "spikes have async_spikes=True, but these synapses are conf"),
    (lambda m: m.scan(True), ValueError, "spikes must have time as their leading axis"),
    (lambda m: m.scan(np.ones((4, 6))), ValueError, r"shape \(5,\) after time, got \(6,\)"),
    (lambda m: m.scan(np.ones((4, 5)), "fast"), ValueError, "method must be one of 'auto'"),
]
BAD_KERNELS = [
    (np.ones((5, 3)), ValueError, r"kernel must have shape .* = \(3, 5\), got \(5, 3\)"),
    (1.0, ValueError, r"kernel must have shape .* = \(3, 5\), got \(\)"),
    (np.full((3, 5), np.nan), ValueError, r"kernel must be finite in float32, got nan"),
    (np.full((3, 5), 1e39), ValueError, r"kernel must be finite in float32, got 1e\+39"),
    (np.ones((3, 5), bool), TypeError, "kernel must be an array of numbers"),
    (np.ones((3, 5), complex), TypeError, "kernel must be an array of numbers"),
    ("kernel", TypeError, "kernel must be an array of numbers, got 'kernel'"),
    ([[1.0], [1.0, 2.0]], TypeError, "kernel must be an array of numbers"),
    (None, TypeError, "kernel must be an array of numbers, got None"),
]


@pytest.fixture(scope="module")
def used():
    """A module of each kind that has taken some steps."""
    modules = {}

    def get(kind):
        if kind.name not in modules:
            modules[kind.name] = kind.make(KERNEL)
            modules[kind.name].scan(spikes(0, (4, 5)))
        return modules[kind.name]

    return get


def unchanged(kind, module, before):
    np.testing.assert_array_equal(module.kernel, KERNEL)
    for one, two in zip(kind.state(module), before, strict=True):
        assert one.tobytes() == two.tobytes()
    assert not kind.traces or int(module.current_tracer.rng.count[...]) == 4


@every_kind
@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS)
def test_call_refuses_and_leaves_the_state(used, kind, call, error, message):
    module = used(kind)
    before = kind.state(module)
    with pytest.raises(error, match=message):
        call(module)
    unchanged(kind, module, before)


@every_kind
@pytest.mark.parametrize(("kernel", "error", "message"), BAD_KERNELS)
def test_kernel_refuses_and_stays(used, kind, kernel, error, message):
    module = used(kind)
    before = kind.state(module)
    with pytest.raises(error, match=message):
        module.kernel = kernel
    unchanged(kind, module, before)


@every_kind
def test_spikes_of_one_kind_are_not_those_of_the_other(kind):
    module = kind.make(KERNEL, async_spikes=True)
    with pytest.raises(ValueError, match="spikes have async_spikes=False, but"):
        module(SpikeArray(np.ones((3, 5), bool)))
    assert module.weights is None


@every_kind
def test_a_module_that_is_not_built_says_so(kind):
    module = kind.make(KERNEL)
    for use in (lambda: module.kernel, lambda: setattr(module, "kernel", KERNEL)):
        with pytest.raises(RuntimeError, match="has no kernel before it is built: call build"):
            use()
    step = nnx.jit(lambda module, x: module(x))
    with pytest.raises(RuntimeError, match="is not built, and a call inside a JAX transform"):
        step(module, jnp.ones(5, bool))
    with pytest.raises(RuntimeError, match="is not built, and a call inside a JAX transform"):
        jax.vmap(lambda x: module.scan(x))(jnp.ones((2, 4, 5), bool))
    assert module.weights is None
    module.reset()


def test_a_kernel_in_double_precision_may_be_larger_than_in_single(x64):
    module = LinearSynapses(units=1, kernel_initializer=[[1e200]], dtype="float64")
    assert float(module(np.ones(1, bool)).value[0]) == 1e200


@pytest.mark.parametrize("tau", [5.0, [[5.0, 9.0, 5.0]]], ids=["shared", "groups"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 1e5}, r"base must lie within \[-65504, 65504\], got 100000"),
        ({"scale": np.full((1, 3), 1e39)}, "scale must be finite in float32, got 1e[+]39"),
    ],
)
def test_a_parameter_is_refused_wherever_it_is_kept(tau, arguments, message):
    module = TracedSynapses(units=2, tau=np.array(tau), **arguments)
    with pytest.raises(ValueError, match=message):
        module.build({"spikes": InputSpec((3,))})
    assert module.chain is None
    assert module.current_tracer is None


@pytest.mark.parametrize("shape", [(4, 5), (4, 1)])
def test_an_inhibition_mask_has_no_time_axis(shape):
    module = LinearSynapses(units=3, kernel_initializer=KERNEL)
    with pytest.raises(ValueError, match=r"inhibition_mask must have no time axis: 1 axes at most"):
        module.scan(SpikeArray(np.ones((4, 5), bool), np.ones(shape, bool)))
    assert module.chain is None

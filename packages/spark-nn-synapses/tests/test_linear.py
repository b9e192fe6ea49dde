"""`LinearSynapses`: the kernel it starts from, and the product it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    CurrentArray,
    FloatArray,
    InputSpec,
    KernelInitializerConfig,
    LinearSynapses,
    LinearSynapsesConfig,
    SpikeArray,
)

from .kinds import exact, spikes

KERNEL = exact(0, (3, 5))
SPEC = {"spikes": InputSpec((5,))}


def built(**kwargs):
    synapses = LinearSynapses(**{"units": 3, "dtype": "float32", **kwargs})
    synapses.build(SPEC)
    return synapses


def test_currents_are_the_product_and_last_for_one_step():
    synapses, x = built(kernel_initializer=KERNEL), spikes(1, 5)
    for _ in range(2):
        currents = synapses(x)
        assert isinstance(currents, CurrentArray)
        np.testing.assert_array_equal(currents, KERNEL @ x)
    np.testing.assert_array_equal(synapses(np.zeros(5, bool)), np.zeros(3))
    assert synapses.current_tracer is None
    xs = spikes(2, (7, 5))
    np.testing.assert_array_equal(synapses.scan(xs), xs @ KERNEL.T)


def test_the_first_call_builds():
    called, scanned = (LinearSynapses(units=3, kernel_initializer=KERNEL) for _ in range(2))
    assert called.weights is None
    called(np.ones(5, bool))
    scanned.scan(np.ones((2, 5), bool))
    assert called.kernel.shape == scanned.kernel.shape == (3, 5)


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec((5,)),
        SpikeArray(np.zeros(5, bool)),
        np.zeros(5, bool),
        jax.ShapeDtypeStruct((5,), bool),
    ],
    ids=lambda spec: type(spec).__name__,
)
def test_anything_with_a_shape_is_an_input_spec(spec):
    synapses = LinearSynapses(units=3)
    synapses.build({"spikes": spec})
    assert synapses.kernel.shape == (3, 5)


def test_the_kernel_is_a_param_seen_in_the_order_of_targets_and_inputs():
    synapses = built(kernel_initializer=KERNEL)
    assert isinstance(synapses.weights, nnx.Param)
    assert set(nnx.state(synapses, nnx.Param)["matrix"]) == {"weights"}
    assert isinstance(synapses.kernel, FloatArray)
    np.testing.assert_array_equal(synapses.kernel, KERNEL)


@pytest.mark.parametrize("given", [np.asarray, jnp.asarray, FloatArray], ids=lambda f: f.__name__)
def test_the_kernel_is_set_from_arrays_and_payloads(given):
    synapses = built(kernel_initializer=np.zeros((3, 5)))
    synapses.kernel = given(KERNEL.astype(np.float32))
    np.testing.assert_array_equal(synapses.kernel, KERNEL)
    assert synapses.kernel.dtype == np.float32
    np.testing.assert_array_equal(synapses(np.ones(5, bool)), KERNEL.sum(axis=1))
    synapses.kernel = KERNEL.astype(int)
    assert synapses.kernel.dtype == np.float32


def test_kernels_start_from_a_config_a_function_or_an_array():
    config = KernelInitializerConfig(name="constant", value=2.0)
    np.testing.assert_array_equal(built(kernel_initializer=config).kernel, np.full((3, 5), 2.0))
    by_jax = built(kernel_initializer=jax.nn.initializers.normal(0.5), seed=3)
    expected = jax.nn.initializers.normal(0.5)(jax.random.key(3), (3, 5), jnp.float32)
    np.testing.assert_array_equal(by_jax.kernel, expected)
    np.testing.assert_array_equal(built(kernel_initializer=KERNEL).kernel, KERNEL)


def test_fans_are_those_of_targets_and_inputs():
    config = KernelInitializerConfig(name="sparse_normalized", density=0.5, total=3.0)
    synapses = LinearSynapses(units=(2, 3), kernel_initializer=config, dtype="float32")
    synapses.build({"spikes": InputSpec((4, 5))})
    sums = np.asarray(synapses.kernel).sum(axis=(2, 3))
    np.testing.assert_allclose(sums, np.full((2, 3), 3.0), rtol=1e-6)


def test_seeds_and_streams_reproduce_kernels():
    kernels = [np.asarray(built(seed=seed).kernel) for seed in (None, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.any(kernels[0] != kernels[2])
    one, two = (np.asarray(built(rngs=nnx.Rngs(params=7, rounding=1)).kernel) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.any(one != np.asarray(built(rngs=nnx.Rngs(params=8, rounding=1)).kernel))
    shared = nnx.Rngs(0)
    assert np.any(np.asarray(built(rngs=shared).kernel) != np.asarray(built(rngs=shared).kernel))


def test_building_again_starts_from_rest():
    synapses = built(kernel_initializer=KERNEL)
    synapses.kernel = -KERNEL
    synapses.build(SPEC)
    np.testing.assert_array_equal(synapses.kernel, KERNEL)
    drawn = built(rngs=nnx.Rngs(0))
    first = np.asarray(drawn.kernel)
    drawn.build({"spikes": InputSpec((4,), batch=(2,))})
    assert drawn.kernel.shape == (3, 4)
    assert drawn(np.ones((2, 4), bool)).shape == (2, 3)
    drawn.build(SPEC)
    assert np.any(np.asarray(drawn.kernel) != first)


def test_keywords_override_the_config():
    config = LinearSynapsesConfig(units=3, kernel_initializer=KERNEL, dtype="float32")
    synapses = LinearSynapses(config, kernel_dtype="bfloat16")
    assert synapses.config == config.replace(kernel_dtype="bfloat16")
    synapses(np.ones(5, bool))
    assert synapses.kernel.dtype == jnp.bfloat16
    assert LinearSynapses(config).config is config


def test_a_faulty_spike_is_seen():
    synapses = built(kernel_initializer=KERNEL)
    assert np.isnan(synapses(np.array([0, np.nan, 0, 0, 0], np.float32)).value).all()
    # Also where currents are limited to what their dtype holds.
    limited = built(kernel_initializer=np.ones((3, 5)), dtype="float16")
    assert np.isposinf(limited(np.array([0, np.inf, 0, 0, 0], np.float32)).value).all()

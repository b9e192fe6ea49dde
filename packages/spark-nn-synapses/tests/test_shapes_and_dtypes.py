"""Shapes, dtypes and units of time of every class; no step, no input and no batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers import TraceState
from spark.nn.components.synapses import InputSpec, SparseConnectivity, SpikeArray, TracedSynapses

from .comparing import CLOSE, by_steps
from .kinds import (
    LINEAR,
    TRACED,
    every_kind,
    every_traced_kind,
    exact,
    laid_out,
    normal,
    pairs,
    spikes,
)

KERNEL = normal(0, (3, 5))
XS = spikes(1, (40, 5))


@every_kind
def test_empty_sequences_inputs_and_batches(kind):
    module = kind.make(KERNEL)
    assert module.scan(np.zeros((0, 5), bool)).shape == (0, 3)
    without = kind.make(np.zeros((3, 0)))
    rest = kind.arguments.get("base", kind.arguments.get("base_2", 0.0))
    np.testing.assert_array_equal(without(np.zeros(0, bool)), np.full(3, rest, np.float32))
    assert without.scan(np.zeros((4, 0), bool)).shape == (4, 3)
    nobody = kind.make(KERNEL)
    nobody.build({"spikes": InputSpec((5,), batch=(0,))})
    assert nobody(np.zeros((0, 5), bool)).shape == (0, 3)


COMPOSED = {
    "dense": {},
    "groups": {"tau": np.array([[4.0, 9.0, 4.0, 4.0, 9.0]])},
    "per-synapse": {"tau": 3 + np.arange(15.0).reshape(3, 5)},
    "delays-of-inputs": {"delays": 2.0},
    "delays-of-connections": {"delays": np.arange(15).reshape(3, 5) % 4},
    "stored": {"connectivity": SparseConnectivity(pre=np.arange(8) % 5, post=np.arange(8) % 3)},
    "asynchronous": {"async_spikes": True},
}


@pytest.mark.parametrize("method", ["sequential", "parallel"])
@pytest.mark.parametrize("features", COMPOSED)
def test_a_scan_of_no_step_needs_no_compiler(features, method):
    module = TracedSynapses(units=3, **COMPOSED[features])
    front = (3,) if features == "asynchronous" else ()
    module.build({"spikes": InputSpec((*front, 5), bool(front), batch=(2,))})
    before = jax.tree.leaves(nnx.state(module, TraceState))
    with jax.disable_jit():
        xs = SpikeArray(np.zeros((0, 2, *front, 5), bool), async_spikes=bool(front))
        found = module.scan(xs, method)
    assert (found.shape, found.dtype) == ((0, 2, 3), np.float16)
    for one, two in zip(jax.tree.leaves(nnx.state(module, TraceState)), before, strict=True):
        np.testing.assert_array_equal(one, two)


@pairs(
    ("features", "way", "over_time"),
    ("dense", "events", True),
    ("groups", "auto", False),
    ("delays-of-connections", "auto", True),
    ("stored", "events", False),
)
def test_an_empty_batch_needs_no_compiler(features, way, over_time):
    module = TracedSynapses(units=3, projection=way, **COMPOSED[features])
    module.build({"spikes": InputSpec((5,), batch=(0,))})
    with jax.disable_jit():
        if over_time:
            assert module.scan(np.zeros((2, 0, 5), bool)).shape == (2, 0, 3)
        else:
            assert module(np.zeros((0, 5), bool)).shape == (0, 3)


def test_shapes_and_flags_of_numpy_and_jax():
    kernel = np.ones((3, 5), np.float32)
    expected = LINEAR.make(kernel).scan(XS)
    flags = (np.bool_(False), np.array(False), jnp.bool_(False), np.False_, False)
    units = (np.int64(3), np.array([3]), jnp.int32(3), jnp.array([3]), (np.int32(3),))
    shapes = (np.array([5]), jnp.array([5]), (np.int64(5),), np.int64(5), [jnp.int32(5)])
    for count, flag, shape in zip(units, flags, shapes, strict=True):
        module = LINEAR.make(kernel, count, async_spikes=flag)
        assert module.config.units == (3,)
        assert module.config.async_spikes is False
        module.build({"spikes": InputSpec(shape, flag, batch=np.array([], int))})
        np.testing.assert_array_equal(module.scan(XS), expected)
    with pytest.raises(TypeError, match="async_spikes must be a boolean, got 'no'"):
        module.build({"spikes": InputSpec((5,), "no")})


@every_kind
def test_dtypes(kind):
    default = kind.cls(units=3)
    assert default(np.zeros(5, bool)).dtype == np.float16
    assert default.kernel.dtype == np.float32
    own = kind.make(exact(6, (3, 5)), dtype="bfloat16", kernel_dtype="float16")
    assert own(np.zeros(5, bool)).dtype == jnp.bfloat16
    np.testing.assert_array_equal(own.kernel, exact(6, (3, 5)))
    assert own.weights.get_value().dtype == np.float16


@every_traced_kind
def test_double_precision(kind, x64):
    arguments, _ = laid_out(kind, "two-values")
    module = kind.make(KERNEL, dtype="float64", **arguments)
    found = module.scan(XS)
    assert found.dtype == np.float64
    expected = kind.currents(KERNEL, XS, **arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    # KERNEL holds float32 values.
    narrow = kind.make(KERNEL, dtype="float64", kernel_dtype="float32", **arguments)
    np.testing.assert_allclose(by_steps(narrow, XS[:4]), expected[:4], rtol=1e-12, atol=1e-12)


@every_traced_kind
def test_time_step_is_in_the_unit_of_the_time_constants(kind):
    found = kind.make(KERNEL, dt=0.5).scan(XS)
    np.testing.assert_allclose(found, kind.currents(KERNEL, XS, dt=0.5), **CLOSE)


def test_currents_saturate_and_do_not_become_infinite():
    kernel = np.full((3, 5), 6e4)
    for kind, layout in ((LINEAR, "scalar"), (TRACED, "scalar"), (TRACED, "two-values")):
        arguments = laid_out(kind, layout)[0] | ({"scale": 1.0} if kind is TRACED else {})
        module = kind.make(kernel, dtype="float16", **arguments)
        found = np.asarray(module.scan(np.ones((3, 5), bool)))
        np.testing.assert_array_equal(found, np.full((3, 3), np.finfo(np.float16).max))

"""Inputs, shapes and parameters of every dtype and form."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from .kinds import (
    CLASSES,
    KINDS,
    SHAPE,
    STEPS,
    every_class,
    every_kind,
    named,
    pairs,
    parametrized,
    train,
)


@every_class
def test_shapes_of_numpy_and_jax(kind):
    for shape in (np.array([2, 3]), jnp.array([2, 3]), [np.int64(2), jnp.int32(3)]):
        assert kind.make(shape).shape == (2, 3)
    for one in (np.int64(2), jnp.int32(2), np.array(2), np.array([2])):
        assert kind.make(one).shape == (2,)
    for wrong in (np.ones((2, 2), int), np.array([2.0]), np.float32(2)):
        with pytest.raises(TypeError, match="shape must be an integer or a sequence of integers"):
            kind.make(wrong)


# How an input is read depends on whether traces are clipped, and on whether it is a portion.
@pytest.mark.parametrize(
    "kind", named("tracer", "saturable", "resource-usage"), ids=lambda k: k.name
)
@pytest.mark.parametrize("x_dtype", [bool, np.int8, np.uint32, np.int32, np.float16, "bfloat16"])
def test_input_dtypes_mean_the_same(kind, x_dtype):
    inputs_mean_the_same(kind, x_dtype)


@parametrized(
    [kind for kind in KINDS if kind not in named("tracer", "saturable", "resource-usage")]
)
def test_booleans_mean_the_same_for_every_kind(kind):
    inputs_mean_the_same(kind, bool)


def inputs_mean_the_same(kind, x_dtype):
    xs = train(8)
    expected = np.asarray(kind.make(SHAPE).scan(xs, "sequential"))
    found = kind.make(SHAPE).scan(jnp.asarray(xs.astype(jnp.dtype(x_dtype))), "sequential")
    np.testing.assert_array_equal(np.asarray(found), expected)


@every_kind
@pytest.mark.parametrize("x", [2**40, np.int64(2**33 + 5), np.uint64(2**63), 1e39])
def test_numbers_beyond_32_bits_do_not_wrap(kind, x):
    stepped, scanned, expected = (kind.make(SHAPE, dtype="float32") for _ in range(3))
    as_float = np.float32(min(float(x), float(np.finfo(np.float32).max)))
    y = np.asarray(expected(np.full(SHAPE, as_float)))
    np.testing.assert_array_equal(np.asarray(stepped(np.full(SHAPE, x))), y)
    found = np.asarray(scanned.scan(np.full((STEPS, *SHAPE), x), "sequential"))
    np.testing.assert_array_equal(found[0], y)


@pairs(
    ("tracer", "sequential"),
    ("saturable", "sequential"),
    ("resource-usage", "sequential"),
    *[(kind.name, "parallel") for kind in CLASSES],
)
def test_double_precision_beyond_single_saturates(x64, kind, option):
    huge, largest = (kind.make(1, dtype="float32") for _ in range(2))
    found = huge.scan(np.array([[1e39], [0.0]]), option)
    expected = largest.scan(np.array([[np.finfo(np.float32).max], [0.0]], float), option)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@every_class
def test_variables_are_inputs_and_parameters(kind):
    x = nnx.Variable(jnp.ones(SHAPE))
    values = {name: nnx.Param(jnp.float32(value)) for name, value in kind.parameters.items()}
    found = nnx.jit(lambda x, values: kind.make(SHAPE, **values)(x))(x, values)
    expected = kind.make(SHAPE)(np.ones(SHAPE, np.float32))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("kind", named("tracer", "resource-usage"), ids=lambda kind: kind.name)
def test_python_numbers_and_lists_are_inputs(kind):
    tracer, expected = kind.make(SHAPE), kind.make(SHAPE)
    one, some = np.ones(SHAPE, np.float32), np.array([[True, False, True, False]] * 3)
    np.testing.assert_array_equal(np.asarray(tracer(1)), np.asarray(expected(one)))
    found = np.asarray(tracer([True, False, True, False]))
    np.testing.assert_array_equal(found, np.asarray(expected(some.astype(np.float32))))

"""Payloads: what they check, what they keep through JAX, and spikes as times and ids."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

MASK = np.array([True, False, False])
BOOLEAN = np.array([[True, False, True], [False, False, False], [True, True, False]])


def spikes(mask=MASK, async_spikes=False):
    return SpikeArray(BOOLEAN, mask, async_spikes)


PAYLOADS = [
    spikes(),
    spikes(mask=None, async_spikes=True),
    FloatArray(np.ones((3, 3), np.float16)),
    CurrentArray(np.ones((3, 3), np.float32)),
]
every_payload = pytest.mark.parametrize("payload", PAYLOADS, ids=repr)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("dtype", "signed"),
    [("bool", "int8"), ("uint8", "int32"), ("int32", "int32"), ("float16", "float16")],
)
def test_value_is_signed_by_the_mask(dtype, signed):
    plain = SpikeArray(BOOLEAN.astype(dtype))
    assert plain.value.dtype == plain.dtype == dtype
    found = SpikeArray(BOOLEAN.astype(dtype), MASK).value
    assert found.dtype == signed
    np.testing.assert_array_equal(found, BOOLEAN * np.where(MASK, -1.0, 1.0))


@pytest.mark.parametrize("mask", [True, np.array([[True]]), MASK, MASK[:, None], BOOLEAN])
def test_a_mask_broadcasts_and_is_indexed_with_the_spikes(mask):
    payload = SpikeArray(BOOLEAN, mask)
    expected = BOOLEAN * np.where(mask, -1, 1)
    np.testing.assert_array_equal(payload.value, expected)
    for index in (0, -1, np.int64(2), slice(1, 3), np.array([2, 0])):
        np.testing.assert_array_equal(payload[index].value, expected[index])
    assert len(payload) == 3
    np.testing.assert_array_equal([step.value for step in payload], expected)


def test_currents_are_indexed_as_their_array_is():
    currents = CurrentArray(jnp.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(currents[1:, 0].value, [2.0, 4.0])
    assert [float(row.sum().value) for row in currents] == [1.0, 5.0, 9.0]


def test_graded_spikes_have_gradients_with_the_sign_of_the_mask():
    graded = SpikeArray(jnp.array([0.5, 0.0, 2.0]), MASK)
    gradient = jax.grad(lambda s: s.value.sum(), allow_int=True)(graded)
    np.testing.assert_array_equal(gradient.spikes, [-1.0, 1.0, 1.0])


@every_payload
def test_a_payload_survives_jax(payload):
    assert_same(jax.jit(lambda p: p)(payload), payload)
    assert_same(nnx.jit(lambda p: p)(payload), payload)
    assert_same(lax.scan(lambda p, _: (p, None), payload, length=2)[0], payload)
    assert_same(jax.tree.map(lambda leaf: leaf, payload), payload)
    assert_same(pickle.loads(pickle.dumps(payload)), payload)
    assert_same(copy.deepcopy(payload), payload)
    abstract = jax.eval_shape(lambda p: p, payload)
    assert type(abstract) is type(payload)
    assert (abstract.shape, abstract.dtype, abstract.ndim) == ((3, 3), payload.dtype, 2)
    assert jax.tree.structure(abstract) == jax.tree.structure(payload)


@every_payload
def test_a_payload_carries_leaves_that_are_not_arrays(payload):
    for leaf in (object(), None, 0, jax.ShapeDtypeStruct((2,), bool)):
        carried = jax.tree.unflatten(
            jax.tree.structure(payload), [leaf] * len(jax.tree.leaves(payload))
        )
        assert type(carried) is type(payload)
        assert repr(carried).startswith(type(payload).__name__)


@every_payload
def test_a_payload_maps_and_scans_over_its_leading_axis(payload):
    # Without a mask, every leaf has that axis.
    if jax.tree.structure(payload) == jax.tree.structure(spikes()):
        payload = SpikeArray(BOOLEAN)
    assert_same(jax.vmap(lambda p: p)(payload), payload)
    assert_same(lax.scan(lambda _, p: (None, p), None, payload)[1], payload)


def test_a_mask_is_not_mapped_over():
    payload = spikes(async_spikes=True)
    mapped = jax.vmap(lambda s: s.value, in_axes=(payload.axes(0),))(payload)
    np.testing.assert_array_equal(mapped, payload.value)
    kept = jax.vmap(lambda s: s, in_axes=(payload.axes(1),), out_axes=payload.axes(1))(
        SpikeArray(BOOLEAN.T, MASK[:, None], async_spikes=True)
    )
    np.testing.assert_array_equal(kept.spikes, BOOLEAN.T)
    assert kept.async_spikes


def test_leaves_are_named():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(spikes())]
    assert paths == [".spikes", ".inhibition_mask"]


@every_payload
def test_a_payload_cannot_be_changed(payload):
    with pytest.raises(AttributeError, match="cannot be changed"):
        payload.value = 0
    with pytest.raises(AttributeError, match="cannot be changed"):
        del payload.value


@every_payload
def test_payloads_compare_element_by_element_and_have_no_hash(payload):
    value, other = np.asarray(payload), payload[::-1]
    for one, two, expected in (
        (payload, payload, value == value),
        (payload, other, value == value[::-1]),
        (payload, other.value, value == value[::-1]),
        (other.value, payload, value == value[::-1]),
        (np.array(value), other, value == value[::-1]),
        (payload, value.dtype.type(1), value == 1),
    ):
        np.testing.assert_array_equal(one == two, expected)
        np.testing.assert_array_equal(one != two, ~expected)
    np.testing.assert_array_equal(jax.jit(lambda a, b: a == b)(payload, other), value == other)
    for foreign in ("spikes", None, object()):
        assert (payload == foreign) is False
        assert (payload != foreign) is True
    with pytest.raises(TypeError, match="unhashable"):
        hash(payload)


class Holder(nnx.Module):
    """Keeps a payload."""

    def __init__(self, payload):
        self.payload = nnx.data(payload)


@every_payload
def test_a_module_keeps_a_payload(payload):
    traces = []

    @nnx.jit
    def read(holder):
        traces.append(None)
        return holder.payload

    for holder in (Holder(payload), Holder(payload), nnx.clone(Holder(payload))):
        assert_same(read(holder), payload)
    assert len(traces) == 1


def test_numpy_reduces_payloads():
    value = np.array([[1.0, 2.0], [4.0, 8.0]], np.float32)
    for kind in (FloatArray, CurrentArray):
        for reduce in (np.sum, np.mean, np.max, np.min):
            for options in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}, {"axis": (0, 1)}):
                found = reduce(kind(value), **options)
                assert type(found) is kind
                np.testing.assert_array_equal(found, reduce(value, **options))
            jitted = jax.jit(lambda payload, reduce=reduce: reduce(payload))(kind(value))
            np.testing.assert_array_equal(jitted, reduce(value))
        assert np.std(kind(value)) == np.std(value)
    signed = BOOLEAN * np.where(MASK, -1, 1)
    for reduce in (np.sum, np.mean, np.max, np.min):
        assert reduce(spikes()) == reduce(signed)
        np.testing.assert_array_equal(reduce(spikes(), axis=0), reduce(signed, axis=0))


def test_a_payload_of_shape_and_dtype_alone_has_a_length():
    class Standing:
        shape, dtype, ndim = (3, 2), np.dtype(bool), 2

    for payload in (spikes(None), CurrentArray(1.0)):
        standing = jax.tree.map(lambda _: Standing(), payload)
        assert len(standing) == 3
    with pytest.raises(TypeError, match="CurrentArray without axes"):
        len(CurrentArray(1.0))


@pytest.mark.parametrize(
    "shape", [np.int64(4), np.array([4]), np.array(4), jnp.int32(4), jnp.array([4]), [np.int64(4)]]
)
def test_shapes_and_flags_of_numpy_and_jax(shape):
    found = SpikeArray.from_times([1.0], [3], shape)
    assert found.shape == (1, 4)
    assert SpikeArray(MASK, async_spikes=np.bool_(True)).async_spikes is True
    assert SpikeArray(MASK, async_spikes=jnp.bool_(True)).async_spikes is True


def test_payloads_print_themselves():
    assert repr(spikes()) == "SpikeArray(bool[3, 3], 4 spikes, inhibition_mask=bool[3])"
    assert repr(SpikeArray(np.ones(1, bool), async_spikes=True)) == (
        "SpikeArray(bool[1], 1 spike, async_spikes=True)"
    )
    assert repr(CurrentArray(jnp.ones(2, jnp.bfloat16))) == "CurrentArray([1 1], dtype=bfloat16)"
    printed = []
    jax.jit(lambda s, i: printed.extend([repr(s), repr(i)]))(spikes(None), FloatArray(1.0))
    assert printed == ["SpikeArray(bool[3, 3])", "FloatArray(float32[])"]
    donated = jnp.ones(2)
    donated.delete()
    assert "float32[2]" in repr(CurrentArray._of(donated))


def test_numpy_reads_a_payload():
    np.testing.assert_array_equal(np.asarray(spikes()), BOOLEAN * np.where(MASK, -1, 1))
    current = CurrentArray(jnp.array([1.0, 2.0], jnp.float16))
    assert np.asarray(current).dtype == np.float16
    assert np.asarray(current, np.float64).dtype == np.float64


# No dtype is treated unlike another inside of jit.
@pytest.mark.parametrize(
    ("dtype", "transform"),
    [("float16", lambda f: f), ("bfloat16", jax.jit), ("float32", jax.jit)],
    ids=["float16", "bfloat16-jit", "float32-jit"],
)
def test_currents_add_and_scale_in_their_dtype(dtype, transform):
    a, b = np.array([1.0, -2.0, 4.0]), np.array([0.5, 0.25, 8.0])
    one, other = CurrentArray(jnp.asarray(a, dtype)), CurrentArray(jnp.asarray(b, dtype))
    cases = [
        (lambda i, j: i + j, a + b),
        (lambda i, j: i - j, a - b),
        (lambda i, j: -i, -a),
        (lambda i, j: i + j.value, a + b),
        (lambda i, j: j.value + i, a + b),
        (lambda i, j: j.value - i, b - a),
        (lambda i, j: i * j.value, a * b),
        (lambda i, j: j.value * i, a * b),
        (lambda i, j: i / j.value, a / b),
        (lambda i, j: 2 * i, 2 * a),
        (lambda i, j: np.float64(0.5) * i, a / 2),
        (lambda i, j: i / 2, a / 2),
        (lambda i, j: 1 - i, 1 - a),
        (lambda i, j: sum([i, j]), a + b),
        (lambda i, j: i.sum(), a.sum()),
        (lambda i, j: i[1:], a[1:]),
    ]
    found = transform(lambda i, j: [operation(i, j) for operation, _ in cases])(one, other)
    for current, (_, expected) in zip(found, cases, strict=True):
        assert isinstance(current, CurrentArray)
        assert current.dtype == dtype
        np.testing.assert_array_equal(np.asarray(current, float), expected)


def test_numpy_arrays_add_to_currents():
    added = np.ones(2, np.float32) + CurrentArray(jnp.ones(2))
    assert isinstance(added, CurrentArray)
    np.testing.assert_array_equal(added.value, [2.0, 2.0])

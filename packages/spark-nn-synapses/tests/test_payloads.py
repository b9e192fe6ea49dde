"""Payloads: what they check, what they keep through JAX, and spikes as times and ids."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from spark.core.tracers import Tracer
from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray
from spark.nn.payloads import times as times_of_spikes

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
def test_a_payload_carries_what_is_no_array(payload):
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


def test_a_payload_of_what_stands_for_an_array_has_a_length():
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


@pytest.mark.parametrize(
    "operation",
    [
        lambda i: i + SpikeArray(MASK),
        lambda i: SpikeArray(MASK) + i,
        lambda i: i - SpikeArray(MASK),
        lambda i: i + FloatArray(1.0),
        lambda i: i * i,
        lambda i: i / i,
        lambda i: i + "1",
    ],
)
def test_currents_refuse_what_is_no_current(operation):
    with pytest.raises(TypeError, match="unsupported operand"):
        operation(CurrentArray(jnp.ones(3)))


REFUSED = [
    (lambda: SpikeArray("on"), TypeError, "spikes must be boolean, integer or floating, got dtype"),
    (lambda: SpikeArray(None), TypeError, "spikes must be boolean, integer or floating"),
    (lambda: SpikeArray(np.ones(2, complex)), TypeError, "got dtype complex128"),
    (lambda: SpikeArray([[1], [1, 2]]), TypeError, "spikes must be an array of numbers"),
    (lambda: SpikeArray(spikes()), TypeError, "spikes must be an array, got SpikeArray"),
    (lambda: SpikeArray(jax.random.key(0)), TypeError, "got dtype key"),
    (lambda: SpikeArray(np.array([2**40])), ValueError, "spikes must fit in int32, got 10995"),
    (
        lambda: SpikeArray(BOOLEAN, np.ones(3)),
        TypeError,
        "inhibition_mask must be boolean, got dtype float",
    ),
    (
        lambda: SpikeArray(BOOLEAN, np.ones(2, bool)),
        ValueError,
        r"inhibition_mask of shape \(2,\) does not broadcast to shape \(3, 3\)",
    ),
    (
        lambda: SpikeArray(MASK, BOOLEAN),
        ValueError,
        r"inhibition_mask of shape \(3, 3\) does not broadcast to shape \(3,\)",
    ),
    (lambda: SpikeArray(MASK, None, 1), TypeError, "async_spikes must be a boolean, got 1"),
    (lambda: spikes()[3], IndexError, "index 3 is out of range for 3 steps"),
    (lambda: spikes()[0, 1], IndexError, "is indexed along its leading axis"),
    (lambda: SpikeArray(True)[0], IndexError, "has no axis to index"),
    (lambda: CurrentArray(np.ones(2, int)), TypeError, "value must be floating, got dtype int"),
    (lambda: FloatArray(True), TypeError, "value must be floating, got dtype bool"),
    (lambda: SpikeArray.from_times([1.0], [0], 2, dt=0), ValueError, "dt must be finite and > 0"),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, dt="a"),
        TypeError,
        "dt must be a number",
    ),
    (lambda: SpikeArray.from_times([1.0], [2], 2), ValueError, r"ids must lie in \[0, 2\).* got 2"),
    (lambda: SpikeArray.from_times([1.0], [-1], 2), ValueError, r"ids must lie in \[0, 2\)"),
    (lambda: SpikeArray.from_times([1.0], [0.0], 2), TypeError, "ids must be integers"),
    (
        lambda: SpikeArray.from_times([1.0], [0, 1], 2),
        ValueError,
        r"ids must have shape \(1,\), as times, got",
    ),
    (lambda: SpikeArray.from_times([[1.0]], [[0]], 2), ValueError, "times must have one axis"),
    (lambda: SpikeArray.from_times([1.0, 0.0], [0, 0], 2), ValueError, "> 0, got 0"),
    (
        lambda: SpikeArray.from_times([1.0, np.nan], [0, 1], 2),
        ValueError,
        "times must be finite and > 0, got nan of neuron 1",
    ),
    (lambda: SpikeArray.from_times([np.inf], [0], 2), ValueError, "> 0, got inf of neuron 0"),
    (
        lambda: SpikeArray.from_times([-0.5], [0], 2, closed="left"),
        ValueError,
        "times must be finite and >= 0, got -0.5 of neuron 0",
    ),
    (
        lambda: SpikeArray.from_times([9.0], [0], 2, duration=9.0, closed="left"),
        ValueError,
        r"times must lie in \[0, duration\) = \[0, 9\), got 9.0",
    ),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, closed="both"),
        ValueError,
        "closed must be one of 'right', 'left', got 'both'",
    ),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, tolerance=0.5),
        ValueError,
        r"tolerance must lie in \[0, 0.5\), as a part of dt, got 0.5",
    ),
    (lambda: spikes().to_times(closed="up"), ValueError, "closed must be one of"),
    (
        lambda: SpikeArray.from_times([1.0, 9.5], [0, 0], 2, duration=9.0),
        ValueError,
        r"times must lie in \(0, duration\] = \(0, 9\], got 9.5",
    ),
    (lambda: SpikeArray.from_times([1.0], [0], -2), ValueError, "no negative size, got -2"),
    (lambda: SpikeArray.from_times([1.0], [0], 2.5), TypeError, "shape must be an integer"),
    (
        lambda: SpikeArray.from_times([1.0, 2.2, 2.9], [0, 1, 1], 2),
        ValueError,
        "2 spikes of neuron 1 fall in step 2, which ends at 3; choose a dt shorter than 1, or "
        "graded=True",
    ),
    (lambda: SpikeArray(True).to_times(), ValueError, "needs time as the leading axis"),
    (lambda: SpikeArray(np.array([0.5])).to_times(), ValueError, "booleans or counts.* got 0.5"),
    (
        lambda: jax.jit(lambda s: s.to_times())(spikes()),
        TypeError,
        "spikes must be concrete for to_times",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_step_covers_its_end():
    times = [0.3, 0.1, 0.30001, 1e-9, 1e-15]
    payload = SpikeArray.from_times(times, [0, 1, 2, 3, 4], 5, dt=0.1)
    steps, ids = np.nonzero(payload.spikes)
    assert payload.shape == (4, 5)
    np.testing.assert_array_equal(steps[np.argsort(ids)], [2, 0, 3, 0, 0])


def test_spikes_from_times_are_those_that_a_tracer_jumps_over():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 20, 40)).astype(np.float32)
    times[::3] = np.round(times[::3] / 0.1) * np.float32(0.1) + np.float32(0.1)
    times = np.sort(times)
    ids = np.arange(40) % 10
    payload = SpikeArray.from_times(times, ids, (5, 2), dt=0.1, duration=21.0, graded=True)
    assert payload.shape == (210, 5, 2)
    scanned, jumped = (Tracer((5, 2), tau=4.0, dtype="float32", dt=0.1) for _ in range(2))
    scanned.scan(payload.value)
    jumped.jump(times, ids, 21.0)
    # 210 steps rounded one by one against a closed form over each gap.
    np.testing.assert_allclose(scanned.value, jumped.value, rtol=1e-5)


@pytest.mark.parametrize("dt", [1e-3, np.float32(1e-3)])
def test_products_of_float32_fill_every_step_once(dt):
    times = np.arange(1, 60_001, dtype=np.float32) * np.float32(1e-3)
    for duration in (np.float32(60), times[-1], None):
        payload = SpikeArray.from_times(times, np.zeros(60_000, int), 1, dt, duration)
        assert payload.shape == (60_000, 1)
        assert np.asarray(payload.spikes).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("dt", [0.1, 0.3, 0.7, 0.01])
def test_lengths_of_time_are_read_to_their_digits(dtype, dt):
    steps, ids = np.arange(0, 1_000, 37), np.zeros(28, int)
    times = (steps + 1) * dt
    for duration in (None, 1_000 * dt, dtype(dt)):
        spikes = SpikeArray.from_times(times[:1], ids[:1], 1, dtype(dt), duration)
        assert spikes.shape == (1 if duration is None or duration == dtype(dt) else 1_000, 1)
    spikes = SpikeArray.from_times(times, ids, 1, dtype(dt), 1_000 * dt)
    np.testing.assert_array_equal(np.flatnonzero(spikes.spikes), steps)
    np.testing.assert_array_equal(spikes.to_times(dtype(dt))[0], times)


@pytest.mark.parametrize("dtype", [*"bBhHiIlLqQ", "float16", "float32"])
def test_whole_times_of_every_dtype(dtype):
    payload = SpikeArray.from_times(np.array([5, 1, 2], dtype), [0, 0, 0], 1, duration=5)
    np.testing.assert_array_equal(np.flatnonzero(payload.spikes), [0, 1, 4])


def test_steps_may_begin_with_their_sample():
    samples = np.arange(50) * 0.1
    ids = np.zeros(50, int)
    payload = SpikeArray.from_times(samples, ids, 1, 0.1, 5.0, closed="left")
    assert payload.shape == (50, 1)
    assert np.asarray(payload.spikes).all()
    times, _ = payload.to_times(0.1, closed="left")
    np.testing.assert_array_equal(times, samples)
    between = SpikeArray.from_times([0.0, 0.05, 0.25], [0, 1, 0], 2, 0.1, closed="left")
    np.testing.assert_array_equal(between.spikes, [[1, 1], [0, 0], [1, 0]])


def test_a_tolerance_takes_times_that_a_clock_has_added_up():
    times, ids = np.cumsum(np.full(10_000, 0.1)), np.zeros(10_000, int)
    assert times[-1] > 1000
    payload = SpikeArray.from_times(times, ids, 1, 0.1, times[-1], tolerance=0.01)
    assert payload.shape == (10_000, 1)
    assert np.asarray(payload.spikes).all()


@pytest.mark.parametrize("graded", [False, True])
def test_an_array_of_the_size_of_memory_is_made_and_a_larger_one_refused(monkeypatch, graded):
    monkeypatch.setattr(times_of_spikes, "memory", lambda: 3000 * (4 if graded else 1))
    payload = SpikeArray.from_times([1000.0], [2], 3, graded=graded)
    assert payload.shape == (1000, 3)
    for arguments in (([1000.5], [2], 3), ([1000.0], [2], 4), ([1.0], [2], 3, 1.0, 1001.0)):
        with pytest.raises(ValueError, match=r"of dt = 1, up to a time of 100\d, by \d neurons"):
            SpikeArray.from_times(*arguments, graded=graded)


@pytest.mark.parametrize(
    ("time", "shape", "dt"),
    [
        (6e11, 1, 1.0),  # MemoryError
        (1e19, 1, 1.0),  # beyond int64
        (1e300, 3, 1e-300),  # beyond float64
        (2**62 / 10, 10, 1.0),  # steps * neurons wraps
        (3e9, 0, 1.0),  # more steps than JAX indexes
        (1.0, 10**20, 1.0),
    ],
)
def test_what_no_machine_holds_is_refused(time, shape, dt):
    with pytest.raises(ValueError, match=r"steps of dt = .* Are the times in the unit of dt\?"):
        SpikeArray.from_times([], np.array([], int), shape, dt, duration=time)
    with pytest.raises(ValueError, match=r"steps of dt = |ids must lie in"):
        SpikeArray.from_times([time, dt], [0, 0], shape, dt)


def test_nothing_recorded_is_no_spike():
    assert SpikeArray.from_times([], np.array([], int), 3).shape == (0, 3)
    silent = SpikeArray.from_times([], np.array([], int), (2, 3), dt=0.5, duration=2.0)
    assert silent.shape == (4, 2, 3)
    assert [part.size for part in silent.to_times()] == [0, 0]
    assert SpikeArray.from_times([], np.array([], int), 0, duration=2.0).shape == (2, 0)
    assert SpikeArray.from_times([], np.array([], int), (2, 0)).shape == (0, 2, 0)


def test_a_mask_comes_along_from_times():
    payload = SpikeArray.from_times([1.0, 2.0], [0, 1], 3, inhibition_mask=MASK)
    np.testing.assert_array_equal(payload.value, [[-1, 0, 0], [0, 1, 0]])


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), max_size=20),
    dt=st.sampled_from([1.0, 0.1, 1 / 3, 0.025, 7]),
    graded=st.booleans(),
)
def test_times_round_trip(cells, dt, graded):
    # Steps of a long recording, brought close together: its end is what rounding may miss.
    late = max((step for step, _ in cells), default=0)
    cells = sorted((step if late < 50 else step % 50, neuron) for step, neuron in cells)
    cells = cells if graded else sorted(set(cells))
    steps = np.array([step for step, _ in cells], int)
    ids = np.array([neuron for _, neuron in cells], int)
    times = (steps + 1) * dt
    payload = SpikeArray.from_times(times[::-1], ids[::-1], (2, 3), dt, 51 * dt, graded=graded)
    assert payload.dtype == ("float32" if graded else "bool")
    expected = np.zeros((51, 6))
    np.add.at(expected, (steps, ids), 1)
    np.testing.assert_array_equal(payload.spikes, expected.reshape(51, 2, 3))
    found_times, found_ids = payload.to_times(dt)
    np.testing.assert_array_equal(found_times, times)
    np.testing.assert_array_equal(found_ids, ids)


@pytest.mark.parametrize("d", [0.1, 0.7, 0.3, 1e-3])
def test_multiples_of_a_float32_time_step_fill_every_step_once(d):
    dt, k = np.float32(d), np.arange(1, 20_001)
    # As a user forms them: float64 products of the rounded dt or of the decimal, and rounded ones.
    for times in (k * dt, k * float(dt), k * d, (k * d).astype(np.float32)):
        train = SpikeArray.from_times(times, np.zeros(len(k), int), 1, dt)
        assert train.spikes.shape == (20_000, 1)
        assert train.spikes.all()

"""Facts that hold for every class, integrator and dtype, written once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spark.core import tracers
from spark.core.tracers.agreement import tolerance

from .kinds import KINDS, NEAREST, every_dtype, every_kind, spikes

SHAPE = (3, 4)


@every_kind
@every_dtype
def test_scan_equals_steps_bit_for_bit(kind, dtype):
    xs = spikes(0, (60, *SHAPE))
    stepped, scanned = kind.make(SHAPE, dtype=dtype), kind.make(SHAPE, dtype=dtype)
    ys = np.stack([np.asarray(stepped(x)) for x in xs])
    found = np.asarray(scanned.scan(xs))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, ys)
    for name, trace in kind.traces(stepped).items():
        np.testing.assert_array_equal(kind.traces(scanned)[name], trace)
    assert int(scanned.rng.count[...]) == int(stepped.rng.count[...]) == 60


# RUTracer returns the efficacy of the step, not its value after it.
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.cls is not tracers.RUTracer], ids=lambda kind: kind.name
)
@every_dtype
def test_call_returns_the_value(kind, dtype):
    tracer = kind.make(SHAPE, dtype=dtype)
    for x in spikes(1, (10, *SHAPE)):
        np.testing.assert_array_equal(np.asarray(tracer(x)), np.asarray(tracer.value))
    np.testing.assert_array_equal(
        np.asarray(tracer.scan(spikes(2, (10, *SHAPE)))[-1]), np.asarray(tracer.value)
    )


@every_kind
@every_dtype
@pytest.mark.parametrize("base", [None, 0.3])
def test_rest_stays_at_rest(kind, dtype, base):
    # 0.3 is no value of any of the dtypes.
    bases = {name: base for name in kind.arguments if name.startswith("base") and base}
    tracer = kind.make(SHAPE, dtype=dtype, **bases)
    before = kind.traces(tracer)
    tracer.scan(np.zeros((200, *SHAPE)))
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, before[name])
        expected = kind.rest[name] if base is None or kind.cls is tracers.RUTracer else base
        np.testing.assert_array_equal(trace, np.full(SHAPE, expected).astype(trace.dtype))


@every_kind
@every_dtype
def test_reset_restores_rest_and_lets_the_stream_go_on(kind, dtype):
    tracer = kind.make(SHAPE, dtype=dtype)
    tracer.scan(spikes(3, (20, *SHAPE)))
    tracer.reset()
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, np.full(SHAPE, kind.rest[name], trace.dtype))
    assert int(tracer.rng.count[...]) == 20


@every_kind
@pytest.mark.parametrize("mask_shape", [(3, 4), (4,), (3, 1), ()])
def test_masked_reset_touches_the_mask_alone(kind, mask_shape):
    # A selection: nothing in it depends on the dtype.
    tracer = kind.make(SHAPE)
    tracer.scan(spikes(4, (20, *SHAPE)))
    before = kind.traces(tracer)
    mask = np.random.default_rng(5).random(mask_shape) < 0.5
    tracer.masked_reset(mask)
    for name, trace in kind.traces(tracer).items():
        everywhere = np.broadcast_to(mask, SHAPE)
        assert np.all(trace[everywhere] == kind.rest[name])
        kept = ~everywhere
        assert trace[kept].tobytes() == before[name][kept].tobytes()


@every_kind
@pytest.mark.parametrize("x_shape", [(), (1,), (4,), (3, 1), (3, 4)])
def test_input_and_parameters_broadcast(kind, x_shape):
    rng = np.random.default_rng(6)
    x = rng.random(x_shape).astype(np.float32)
    shapes = [(), (4,), (3, 1), (3, 4)]
    arguments = {
        name: np.broadcast_to(np.float32(value), shapes[i % 4])
        for i, (name, value) in enumerate(kind.arguments.items())
        if not isinstance(value, str)
    }
    tracer, whole = (
        kind.make(SHAPE, dtype=jnp.float32, **arguments),
        kind.make(SHAPE, dtype=jnp.float32),
    )
    for _ in range(3):
        y, expected = tracer(x), whole(np.broadcast_to(x, SHAPE))
        assert y.shape == SHAPE
        np.testing.assert_allclose(np.asarray(y), np.asarray(expected), rtol=1e-6)  # fused or not


@every_kind
def test_every_element_has_its_own_parameters(kind):
    names = [name for name, value in kind.arguments.items() if not isinstance(value, str)]
    factors = np.linspace(0.6, 1.0, 5, dtype=np.float32)
    xs = spikes(7, (40, 5))
    arguments = {name: np.float32(kind.arguments[name]) * factors for name in names}
    together = np.asarray(kind.make(5, dtype=jnp.float32, **arguments).scan(xs))
    for i in range(5):
        alone = kind.make(
            1, dtype=jnp.float32, **{name: float(arguments[name][i]) for name in names}
        )
        np.testing.assert_allclose(
            np.asarray(alone.scan(xs[:, i : i + 1]))[:, 0], together[:, i], rtol=2e-6, atol=1e-7
        )


@every_kind
@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_and_scalar_shapes(kind, shape):
    # In float16, where rounding has shapes of its own to get right.
    tracer = kind.make(shape, dtype="float16")
    assert tracer(jnp.ones(shape)).shape == shape
    assert tracer.scan(np.ones((5, *shape), bool)).shape == (5, *shape)
    assert tracer.scan(np.ones((0, *shape), bool)).shape == (0, *shape)
    tracer.masked_reset(np.ones(shape, bool))
    assert tracer.value.shape == shape
    assert tracer.value.dtype == jnp.float16


@every_kind
@pytest.mark.parametrize(
    "shape", [np.array([2, 3]), jnp.array([2, 3]), [np.int64(2), jnp.int32(3)]]
)
def test_shapes_of_numpy_and_jax(kind, shape):
    assert kind.make(shape).shape == (2, 3)
    for one in (np.int64(2), jnp.int32(2), np.array(2), np.array([2])):
        assert kind.make(one).shape == (2,)
    for wrong in (np.ones((2, 2), int), np.array([2.0]), np.float32(2)):
        with pytest.raises(TypeError, match="shape must be an integer or a sequence of integers"):
            kind.make(wrong)


@every_kind
@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_a_scan_of_no_step_needs_no_compiler(kind, method):
    tracer = kind.make(SHAPE)
    with jax.disable_jit():
        assert tracer.scan(np.zeros((0, *SHAPE)), method).shape == (0, *SHAPE)


@every_kind
@pytest.mark.parametrize(
    "x_dtype", [bool, np.int8, np.uint32, np.int32, np.float16, np.float32, "bfloat16"]
)
def test_input_dtypes_mean_the_same(kind, x_dtype):
    train = spikes(8, (6, *SHAPE))
    expected = np.asarray(kind.make(SHAPE).scan(train.astype(np.float32)))
    found = kind.make(SHAPE).scan(jnp.asarray(train).astype(x_dtype))
    np.testing.assert_array_equal(np.asarray(found), expected)


@every_kind
@pytest.mark.parametrize("x", [2**40, np.int64(2**33 + 5), np.uint64(2**63), 1e39])
def test_numbers_beyond_32_bits_do_not_wrap(kind, x):
    tracer, other, expected = (kind.make(1, dtype="float32") for _ in range(3))
    as_float = np.float32(min(float(x), float(np.finfo(np.float32).max)))
    y = np.asarray(expected(as_float))
    np.testing.assert_array_equal(np.asarray(tracer(x)), y)
    # One rounding of float32, as maps are composed.
    (found,) = np.asarray(other.scan(np.array([[x]]), "parallel"))
    np.testing.assert_allclose(found, y, rtol=1e-6)


@every_kind
@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_double_precision_beyond_single_saturates(x64, kind, method):
    huge, largest = (kind.make(1, dtype="float32") for _ in range(2))
    found = huge.scan(np.array([[1e39], [0.0]]), method)
    expected = largest.scan(np.array([[np.finfo(np.float32).max], [0]], np.float32), method)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@every_kind
def test_variables_are_inputs_and_parameters(kind):
    x = nnx.Variable(jnp.ones(2))
    values = {
        name: nnx.Param(jnp.float32(value))
        for name, value in kind.arguments.items()
        if not isinstance(value, str)
    }
    found = nnx.jit(lambda x, values: kind.make(2, **values)(x))(x, values)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(kind.make(2)(x)))


@every_kind
def test_python_numbers_and_lists_are_inputs(kind):
    tracer, expected = kind.make(2), kind.make(2)
    np.testing.assert_array_equal(np.asarray(tracer(1)), np.asarray(expected(np.ones(2))))
    np.testing.assert_array_equal(
        np.asarray(tracer([True, False])), np.asarray(expected(np.array([1, 0])))
    )


@every_kind
def test_default_dtype_is_float16_and_seed_none_is_zero(kind):
    xs = spikes(9, (100, 50))
    runs = [np.asarray(kind.make(50, **seed).scan(xs)) for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert runs[0].dtype == np.float16
    np.testing.assert_array_equal(runs[0], runs[1])
    # Rounding to nearest draws nothing.
    assert np.any(runs[0] != runs[2]) == (kind is not NEAREST)


@every_kind
@every_dtype
def test_nan_stays_in_its_own_element(kind, dtype):
    xs = spikes(10, (30, *SHAPE)).astype(np.float32)
    clean = np.asarray(kind.make(SHAPE, dtype=dtype).scan(xs), np.float32)
    xs[10, 1, 2] = np.nan
    found = np.array(kind.make(SHAPE, dtype=dtype).scan(xs), np.float32)
    wrong = np.isnan(found)
    # A double trace shows it one step later: its second stage takes what the first one was.
    assert wrong[11:, 1, 2].all()
    wrong[10:, 1, 2] = False
    assert not wrong.any()
    found[10:, 1, 2] = clean[10:, 1, 2]
    np.testing.assert_array_equal(found, clean)


@every_kind
@every_dtype
def test_a_finite_input_never_makes_infinity(kind, dtype):
    tracer = kind.make(4, dtype=dtype)
    largest = np.finfo(np.float32).max
    ys = np.asarray(tracer.scan(np.full((8, 4), largest)), np.float32)
    assert np.isfinite(ys).all()
    for trace in kind.traces(tracer).values():
        assert np.isfinite(trace.astype(np.float32)).all()


every_unbounded = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if "saturable" not in kind.name and kind.cls is not tracers.RUTracer],
    ids=lambda kind: kind.name,
)


@every_unbounded
@every_dtype
@pytest.mark.parametrize("tau", [1.0, 7.0])  # more is lost in a step than left, and less
def test_an_infinite_input_shows_for_good_in_every_way(kind, dtype, tau):
    if kind.arguments.get("integrator") == "euler":
        tau = max(tau, 1.25)
    taus = {name: tau for name in kind.arguments if name.startswith("tau")}
    xs = np.zeros((3, 3))
    xs[0, 1] = np.inf
    stepped, scanned, composed, jumped = (kind.make(3, dtype=dtype, **taus) for _ in range(4))
    found = [
        np.stack([stepped(x) for x in xs])[-1],
        scanned.scan(xs, "sequential")[-1],
        composed.scan(xs, "parallel")[-1],
        stepped.value,
    ]
    jumped.jump([1.0, 1.0, 1.0], [0, 1, 2], 3.0, [0.0, np.inf, 0.0])
    for values in (*found, jumped.value):
        finite = np.isfinite(np.asarray(values, np.float32))
        np.testing.assert_array_equal(finite, [True, False, True])


@every_unbounded
def test_a_base_that_no_check_has_seen_is_limited(kind):
    name = kind.make(1).recurrence.bases[-1]
    tracer = nnx.jit(lambda base: kind.make(2, **{name: base}))(jnp.float32(1e6))
    assert float(tracer.value[0]) == 65504
    tracer(0.0)
    assert np.isfinite(np.asarray(tracer.value)).all()


def test_a_base_beyond_the_bounds_is_clipped():
    make = nnx.jit(lambda base: tracers.SaturableTracer(1, 5.0, base=base))
    assert float(make(2.0).value[0]) == 1


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if "integrator" not in kind.arguments],  # Euler takes none below dt
    ids=lambda kind: kind.name,
)
def test_gradients_at_the_shortest_time_constants_are_finite(kind):
    tracer = kind.make(1, dtype="float32", **{n: 1e-15 for n in kind.arguments if "tau" in n})
    recurrence, state, xs = tracer.recurrence, tracer.state, jnp.ones((3, 1))
    total = nnx.jit(jax.grad(lambda p: recurrence.scan(p, state, xs)[1].sum()))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(total(tracer.parameters)))


@every_kind
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_scan_equals_steps_on_any_input(kind, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    steps = data.draw(st.integers(0, 4))
    xs = data.draw(
        hnp.arrays(np.float32, (steps, *shape), elements=st.floats(-(2.0**100), 2.0**100, width=32))
    )
    dtype = data.draw(st.sampled_from(["float16", "bfloat16", "float32"]))
    stepped, scanned = kind.make(shape, dtype=dtype), kind.make(shape, dtype=dtype)
    ys = [np.asarray(stepped(x)) for x in xs]
    found = np.asarray(scanned.scan(xs))
    for y, expected in zip(found, ys, strict=True):
        # XLA may or may not fuse a product and a sum, by shape: one float32 rounding, which
        # stochastic rounding passes on in one case of thousands.
        close = tolerance("steps", dtype)
        np.testing.assert_allclose(
            y.astype(np.float32), expected.astype(np.float32), rtol=close, atol=close
        )

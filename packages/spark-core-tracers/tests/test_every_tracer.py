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
from spark.core.tracers.testing import tolerance

from . import reference
from .kinds import (
    CLASSES,
    KINDS,
    NEAREST,
    SHAPE,
    STEPS,
    every_class,
    every_dtype,
    every_kind,
    named,
    pairs,
    parametrized,
    train,
)


@every_kind
@every_dtype
def test_scan_equals_steps_bit_for_bit_and_calls_return_the_value(kind, dtype):
    xs = train(0)
    stepped, scanned = kind.make(SHAPE, dtype=dtype), kind.make(SHAPE, dtype=dtype)
    ys = []
    for x in xs:
        ys.append(np.asarray(stepped(x)))
        if kind.cls is not tracers.RUTracer:  # returns the efficacy of the step
            np.testing.assert_array_equal(ys[-1], np.asarray(stepped.value))
    found = np.asarray(scanned.scan(xs, "sequential"))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.stack(ys))
    for name, trace in kind.traces(stepped).items():
        np.testing.assert_array_equal(kind.traces(scanned)[name], trace)
    assert int(scanned.rng.count[...]) == int(stepped.rng.count[...]) == STEPS


@every_kind
@every_dtype
@pytest.mark.parametrize("base", [None, 0.3])
def test_rest_stays_at_rest(kind, dtype, base):
    # 0.3 is no value of any of the dtypes.
    bases = {name: base for name in kind.arguments if name.startswith("base") and base}
    tracer = kind.make(SHAPE, dtype=dtype, **bases)
    before = kind.traces(tracer)
    for _ in range(3):
        tracer.scan(np.zeros((STEPS, *SHAPE), np.float32), "sequential")
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, before[name])
        expected = kind.rest[name] if base is None or kind.cls is tracers.RUTracer else base
        np.testing.assert_array_equal(trace, np.full(SHAPE, expected).astype(trace.dtype))


@every_kind
@every_dtype
def test_reset_restores_rest_and_lets_the_stream_go_on(kind, dtype):
    tracer = kind.make(SHAPE, dtype=dtype)
    tracer.scan(train(3))
    tracer.reset()
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, np.full(SHAPE, kind.rest[name], trace.dtype))
    assert int(tracer.rng.count[...]) == STEPS


# A selection: nothing in it depends on the dtype, nor the shape of the mask on the kind.
@pairs(
    *[(kind.name, (3, 4)) for kind in CLASSES], ("tracer", (4,)), ("double", (3, 1)), ("tracer", ())
)
def test_masked_reset_touches_the_mask_alone(kind, option):
    tracer = kind.make(SHAPE)
    tracer.scan(train(4))
    before = kind.traces(tracer)
    mask = np.random.default_rng(5).random(option) < 0.5
    tracer.masked_reset(mask)
    everywhere = np.broadcast_to(mask, SHAPE)
    for name, trace in kind.traces(tracer).items():
        assert np.all(trace[everywhere] == kind.rest[name])
        kept = ~everywhere
        assert trace[kept].tobytes() == before[name][kept].tobytes()


@pairs(
    ("tracer", ()),
    ("tracer", (1,)),
    ("tracer", (4,)),
    ("tracer", (3, 1)),
    ("tracer-euler", (1,)),
    ("saturable", (4,)),
    ("double", ()),
    ("double-euler", (3, 1)),
    ("saturable-double", (3, 1)),
    ("resource-usage", ()),
    ("resource-usage", (4,)),
)
def test_input_and_parameters_broadcast(kind, option):
    x = np.random.default_rng(6).random(option).astype(np.float32)
    shapes = [(), (4,), (3, 1), (3, 4)]
    arguments = {
        name: np.broadcast_to(np.float32(value), shapes[i % 4])
        for i, (name, value) in enumerate(kind.parameters.items())
    }
    tracer = kind.make(SHAPE, dtype=jnp.float32, **arguments)
    _, expected = reference.from_rest(kind, np.broadcast_to(x, (3, *SHAPE)))
    for y in expected:
        found = tracer(x)
        assert found.shape == SHAPE
        np.testing.assert_allclose(np.asarray(found), y, rtol=1e-6)


@every_kind
def test_every_element_has_its_own_parameters(kind):
    factors = np.linspace(0.6, 1.0, 12, dtype=np.float32).reshape(SHAPE)
    xs = train(7)
    arguments = {name: np.float32(value) * factors for name, value in kind.parameters.items()}
    found = kind.make(SHAPE, dtype=jnp.float32, **arguments).scan(xs)
    _, expected = reference.from_rest(kind, xs, **arguments)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


# In float16, where rounding has shapes of its own to get right.
@pairs(
    *[(kind.name, ()) for kind in CLASSES],
    ("tracer", (0,)),
    ("tracer-nearest", (3, 0)),
    ("double-euler", (3, 0)),
    ("resource-usage", (0,)),
)
def test_empty_and_scalar_shapes(kind, option):
    tracer, stepped = kind.make(option, dtype="float16"), kind.make(option, dtype="float16")
    xs = np.ones((3, *option), np.float32)
    ys = np.asarray(tracer.scan(xs, "sequential"))
    assert ys.shape == (3, *option)
    assert tracer.scan(xs[:0]).shape == (0, *option)
    np.testing.assert_array_equal(ys, np.stack([stepped(x) for x in xs]))
    tracer.masked_reset(np.ones(option, bool))
    assert tracer.value.shape == option
    assert tracer.value.dtype == jnp.float16


@every_kind
@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_a_scan_of_no_step_needs_no_compiler(kind, method):
    tracer = kind.make(SHAPE)
    with jax.disable_jit():
        assert tracer.scan(np.zeros((0, *SHAPE)), method).shape == (0, *SHAPE)


@every_kind
def test_default_dtype_is_float16_and_seed_none_is_zero(kind):
    xs = train(9)
    runs = [np.asarray(kind.make(SHAPE, **s).scan(xs)) for s in ({}, {"seed": 0}, {"seed": 1})]
    assert runs[0].dtype == np.float16
    np.testing.assert_array_equal(runs[0], runs[1])
    # Rounding to nearest draws nothing.
    assert np.any(runs[0] != runs[2]) == (kind is not NEAREST)


@every_kind
@every_dtype
def test_nan_does_not_reach_other_elements(kind, dtype):
    xs = train(10)
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
    tracer = kind.make(SHAPE, dtype=dtype)
    xs = np.full((STEPS, *SHAPE), np.finfo(np.float32).max)
    assert np.isfinite(np.asarray(tracer.scan(xs), np.float32)).all()
    assert np.isfinite(np.asarray(tracer(xs[0]), np.float32)).all()
    for trace in kind.traces(tracer).values():
        assert np.isfinite(trace.astype(np.float32)).all()


every_unbounded = parametrized(
    [kind for kind in KINDS if "saturable" not in kind.name and kind.cls is not tracers.RUTracer]
)


@every_unbounded
@every_dtype
@pytest.mark.parametrize("tau", [1.0, 7.0])  # more is lost in a step than left, and less
def test_an_infinite_input_shows_for_good(kind, dtype, tau):
    if kind.is_euler:
        tau = max(tau, 1.25)
    taus = {name: tau for name in kind.arguments if name.startswith("tau")}
    xs = np.zeros((STEPS, *SHAPE), np.float32)
    xs[0, 1, 2] = np.inf
    shows = np.arange(12).reshape(SHAPE) == 6
    stepped, scanned = (kind.make(SHAPE, dtype=dtype, **taus) for _ in range(2))
    steps = [stepped(x) for x in xs[:3]]
    for values in (steps[-1], stepped.value, scanned.scan(xs)[-1], scanned.value):
        finite = np.isfinite(np.asarray(values, np.float32))
        np.testing.assert_array_equal(~finite, shows)


@parametrized(named("tracer", "double"))
def test_a_base_that_no_check_has_seen_is_limited(kind):
    name = kind.make(1).recurrence.bases[-1]
    tracer = nnx.jit(lambda base: kind.make(SHAPE, **{name: base}))(jnp.float32(1e6))
    assert np.all(np.asarray(tracer.value) == 65504)
    tracer(np.zeros(SHAPE, np.float32))
    assert np.isfinite(np.asarray(tracer.value)).all()


def test_a_base_beyond_the_bounds_is_clipped():
    make = nnx.jit(lambda base: tracers.SaturableTracer(1, 5.0, base=base))
    assert float(make(2.0).value[0]) == 1


@every_class  # Euler takes no time constant below dt
def test_gradients_at_the_shortest_time_constants_are_finite(kind):
    tracer = kind.make(1, dtype="float32", **{n: 1e-15 for n in kind.arguments if "tau" in n})
    recurrence, state, xs = tracer.recurrence, tracer.state, jnp.ones((3, 1))
    total = jax.jit(jax.grad(lambda p: recurrence.scan(p, state, xs)[1].sum()))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(total(tracer.parameters)))


@every_kind
@every_dtype
@settings(max_examples=10, deadline=None)
@given(
    xs=hnp.arrays(np.float32, (4, *SHAPE), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    seed=st.integers(0, 2**32),
)
def test_scan_equals_steps_on_any_input(kind, dtype, xs, seed):
    stepped, scanned = (kind.make(SHAPE, dtype=dtype, seed=seed) for _ in range(2))
    # The rest of the scan is the same again.
    found = np.asarray(scanned.scan(np.tile(xs, (STEPS // 4, 1, 1)), "sequential"))
    for y, x in zip(found[:8], [*xs, *xs], strict=True):
        # XLA may or may not fuse a product and a sum: one float32 rounding, which stochastic
        # rounding passes on in one case of thousands.
        close = tolerance("steps", dtype)
        np.testing.assert_allclose(
            y.astype(np.float32), np.asarray(stepped(x), np.float32), rtol=close, atol=close
        )

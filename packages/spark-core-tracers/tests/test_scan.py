"""Every way to run, for every class: equal values and equal final states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import _scan
from spark.core.tracers._scan import Plan
from spark.core.tracers.testing import tolerance

from . import reference
from .kinds import CLASSES, KINDS, named, pairs, parametrized, spikes
from .scanning import METHODS, SHAPE, STEPS, chunked, every_kind, every_way

# All dtypes but float64 compute in float32: what is left are rounding and range, of each class.
in_half_precision = pairs(
    ("tracer", "float16"),
    ("saturable", "bfloat16"),
    ("double", "bfloat16"),
    ("saturable-double", "float16"),
    ("resource-usage", "float16"),
)


def inputs(steps, seed=0):
    """Graded spikes, some of them negative: traces reach both bounds."""
    rng = np.random.default_rng(seed)
    xs = np.where(spikes(seed, (steps, *SHAPE), 0.5), rng.normal(0.2, 1.5, (steps, *SHAPE)), 0)
    return xs.astype(np.float32)


def ways_agree(kind, dtype):
    xs = inputs(2 * STEPS)
    close = {"rtol": 0, "atol": tolerance("parallel", dtype)}
    # So that stage 2 reaches its bounds too.
    changed = {"scale_2": 4.0, "base_1": 0.5} if kind.name == "saturable-double" else {}
    runs = {}
    for first in METHODS:
        for second in METHODS:
            tracer = kind.make(SHAPE, dtype=dtype, **changed)
            ys = [tracer.scan(x, m) for x, m in zip(np.split(xs, 2), (first, second), strict=True)]
            runs[first, second] = tracer, np.concatenate(ys).astype(float)
    whole, expected = runs["sequential", "sequential"]
    traces, solution = reference.from_rest(kind, xs, **changed)
    if "saturable" in kind.name:
        assert {0, 1} <= set(expected.ravel())
    for tracer, ys in runs.values():
        np.testing.assert_allclose(ys, expected, **close)
        np.testing.assert_allclose(ys, solution, **close)
        for name, trace in kind.traces(tracer).items():
            assert trace.dtype == dtype
            other = kind.traces(whole)[name]
            np.testing.assert_allclose(trace.astype(float), other.astype(float), **close)
        for name, trace in zip(tracer.recurrence.traces, traces, strict=True):
            np.testing.assert_allclose(kind.traces(tracer)[name].astype(float), trace, **close)
        assert int(tracer.rng.count[...]) == 2 * STEPS


@every_kind
def test_ways_agree_and_go_on_from_one_another(kind):
    ways_agree(kind, "float32")


@in_half_precision
def test_ways_agree_in_half_precision(kind, option):
    ways_agree(kind, option)


@parametrized([*CLASSES, *named("double-euler")])
def test_chunks_change_nothing(x64, kind):
    # In double precision, where nothing but a rounding of that may be between the two.
    # Two chunks of two steps, and one step left over.
    xs = inputs(STEPS).astype(float)
    tracer = kind.make(SHAPE, dtype="float64")
    final, ys = jax.jit(chunked(kind, 2))(tracer.parameters, tracer.state, xs)
    traces, expected = reference.from_rest(kind, xs)
    close = {"rtol": 0, "atol": tolerance("parallel", "float64")}
    np.testing.assert_allclose(ys, expected, **close)
    for one, other in zip(final.traces, traces, strict=True):
        np.testing.assert_allclose(one, other, **close)


@every_kind
@pytest.mark.parametrize("tau", [0.5, 0.125])
def test_a_small_value_after_a_large_one_keeps_its_digits(kind, tau):
    # A pulse, and what is left of it many time constants, or one step of eight of them, later.
    if kind.is_euler:
        tau = max(tau, 1.25)
    values = {"tau": tau, "base": 0.0}
    changed = {
        name: value for name in kind.parameters for part, value in values.items() if part in name
    }
    pulse = np.zeros((STEPS, *SHAPE), np.float32)
    pulse[0] = 1.0 if "saturable" in kind.name else 1e4
    _, expected = reference.from_rest(kind, pulse, **changed)
    normal = expected > 1e-30
    assert expected[normal].min() < 1e-2 * expected.max()
    for method in METHODS:
        ys = kind.make(SHAPE, dtype="float32", **changed).scan(pulse, method)
        # A rounding of float32, 6e-8, per step; and one of the rate, times up to 70 of decay.
        np.testing.assert_allclose(
            np.asarray(ys, float)[normal], expected[normal], rtol=5e-6, err_msg=method
        )


# Integrators have coefficients of the same shapes, but for the gains of a cascade.
@pairs(
    ("tracer", ()),
    ("saturable", (3, 1)),
    ("double", (2,)),
    ("double-euler", (3, 1)),
    ("saturable-double", ()),
    ("resource-usage", (3, 1)),
)
def test_inputs_broadcast_over_time(kind, option):
    xs = np.random.default_rng(1).random((STEPS, *option)).astype(np.float32)
    full = np.broadcast_to(xs.reshape(STEPS, *(1,) * (2 - len(option)), *option), (STEPS, *SHAPE))
    found = kind.make(SHAPE, dtype="float32").scan(xs, "parallel")
    np.testing.assert_allclose(found, reference.from_rest(kind, full)[1], rtol=0, atol=1e-6)


@pairs(
    ("tracer", ()),
    ("saturable-double", ()),
    ("resource-usage", ()),
    ("tracer", (0,)),
    ("saturable-double", (2, 0)),
    ("resource-usage", (0,)),
)
def test_empty_and_scalar_shapes_in_parallel(kind, option):
    tracer = kind.make(option, dtype="float16")
    xs = np.ones((STEPS, *option), np.float32)
    ys = tracer.scan(xs, "parallel")
    assert ys.shape == (STEPS, *option)
    assert tracer.value.shape == option
    expected = reference.from_rest(kind, xs)[1]
    np.testing.assert_allclose(np.asarray(ys, float), expected, atol=tolerance("jump", "float16"))


@every_way
@pytest.mark.parametrize("shape", [(2,), (2, 0)])
def test_no_step_changes_nothing(method, shape):
    # Whatever the class: no step is taken.
    tracer = named("double")[0].make(shape)
    assert tracer.scan(np.ones((0, *shape), bool), method).shape == (0, *shape)
    np.testing.assert_array_equal(tracer.value, np.full(shape, 0.25, np.float16))
    assert int(tracer.rng.count[...]) == 0


@every_kind
def test_rest_stays_at_rest_in_parallel(kind):
    tracer = kind.make(SHAPE, dtype="float32")
    before = kind.traces(tracer)
    for _ in range(8):
        tracer.scan(np.zeros((STEPS, *SHAPE), np.float32), "parallel")
    for name, trace in kind.traces(tracer).items():
        # A clipped map carries base and bounds as deviations: one rounding.
        np.testing.assert_allclose(trace, before[name], rtol=1e-7)


@every_kind
def test_nan_does_not_reach_other_elements_in_parallel(kind):
    xs = inputs(2 * STEPS)
    xs[2, 1, 1] = np.nan
    tracer = kind.make(SHAPE, dtype="float32")
    wrong = np.isnan(np.concatenate([tracer.scan(part, "parallel") for part in np.split(xs, 2)]))
    assert wrong[3:, 1, 1].all()
    wrong[2:, 1, 1] = False
    assert not wrong.any()


@every_kind
def test_a_finite_input_never_makes_infinity_in_parallel(kind):
    # Two steps together overflow, and the next two the other way: no infinity less another.
    changed = {name: 1.0 for name in ("scale", "scale_1") if name in kind.parameters}
    for signs in ([1, 1, 1, 1, 1], [1, 1, -1, -1, 1]):
        tracer = kind.make(SHAPE, dtype="float32", **changed)
        xs = np.full(SHAPE, np.finfo(np.float32).max) * np.float32(signs)[:, None, None]
        for _ in range(2):
            assert np.isfinite(np.asarray(tracer.scan(xs, "parallel"))).all()


@in_half_precision
def test_a_finite_input_makes_no_infinity_of_a_half_in_parallel(kind, option):
    tracer = kind.make(SHAPE, dtype=option)
    ys = tracer.scan(np.full((STEPS, *SHAPE), np.finfo(np.float32).max), "parallel")
    assert np.isfinite(np.asarray(ys, np.float32)).all()


@pairs(
    ("tracer", "float32"),
    ("tracer", "float16"),
    ("tracer-euler", "float32"),
    ("double", "float32"),
    ("double", "bfloat16"),
    ("double-euler", "float32"),
)
@pytest.mark.parametrize("tau", [1.0, 7.0])  # more is lost in a step than left, and less
def test_an_infinite_input_shows_for_good_in_parallel(kind, option, tau):
    tau = max(tau, 1.25) if kind.is_euler else tau
    taus = {name: tau for name in kind.arguments if name.startswith("tau")}
    tracer = kind.make(SHAPE, dtype=option, **taus)
    xs = np.zeros((STEPS, *SHAPE), np.float32)
    xs[0, 1, 0] = np.inf
    shows = np.arange(6).reshape(SHAPE) == 2
    last = np.asarray(tracer.scan(xs, "parallel")[-1], np.float32)
    for values in (last, np.asarray(tracer.value, np.float32)):
        np.testing.assert_array_equal(~np.isfinite(values), shows)


def test_parallel_noise_is_that_of_the_steps():
    # So short a time constant carries nothing: every way rounds the same numbers. By chunks too:
    # two of two steps, and one step left over.
    xs = np.random.default_rng(0).random((STEPS, *SHAPE)).astype(np.float32)
    kind, changed = KINDS[0], {"tau": 1e-3, "base": 0.0}
    one, other, third = (kind.make(SHAPE, **changed) for _ in range(3))
    expected = np.asarray(one.scan(xs, "sequential"))
    np.testing.assert_array_equal(other.scan(xs, "parallel"), expected)
    _, ys = jax.jit(chunked(kind, 2, "float16"))(third.parameters, third.state, xs)
    np.testing.assert_array_equal(ys, expected)


def test_auto_follows_the_table():
    assert _scan.in_parallel("sequential", 10, 10) is False
    assert _scan.in_parallel("parallel", 10, 10) is True
    wins = {jax.default_backend(): (100, 1000)}
    assert _scan.in_parallel("auto", 100, 1000, wins) is True
    assert _scan.in_parallel("auto", 99, 1000, wins) is False
    assert _scan.in_parallel("auto", 100, 1001, wins) is False
    assert _scan.in_parallel("auto", 10**6, 1, {"other": (1, 1000)}) is False
    assert _scan.in_parallel("auto", 10**6, 1, {"other": (1, 1000)}, "other") is True


def test_chunks_follow_the_table(monkeypatch):
    recurrence, platform = KINDS[0].make(SHAPE).recurrence, jax.default_backend()
    for size in (12, 36):
        monkeypatch.setattr(_scan, "CHUNKS", {platform: size})
        plan = Plan(recurrence, jnp.dtype("float32"), parallel=True)
        assert plan.chunk(100, SHAPE) == size // 6
    monkeypatch.setattr(_scan, "CHUNKS", {})
    plan = Plan(recurrence, jnp.dtype("float32"), parallel=True)
    assert plan.chunk(10**9, SHAPE) == _scan.CHUNK // 6

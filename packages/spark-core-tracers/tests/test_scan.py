"""Every way to run, for every class: equal values, equal final states, equal gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spark.core.tracers import Tracer, _scan
from spark.core.tracers._scan import Plan, run
from spark.core.tracers.testing import tolerance

from . import reference
from .kinds import CLASSES, KINDS, NEAREST, named, pairs, parametrized, spikes

# Programs are what these tests cost: they share the shapes of state and input, and the dtype of the
# input. Five steps make a tree of two levels, one with a map left over and one without.
SHAPE, STEPS = (3, 2), 5
METHODS = ["sequential", "parallel"]
# How a state is rounded does not depend on the way: NEAREST would compile the same programs again.
WAYS_KINDS = [kind for kind in KINDS if kind is not NEAREST]
every_kind = parametrized(WAYS_KINDS)
every_way = pytest.mark.parametrize("method", METHODS)
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


def chunked(kind, steps, dtype="float64"):
    """The parallel way by so many steps at a time, as a function of coefficients and the rest."""
    recurrence = kind.make(SHAPE, dtype=dtype).recurrence
    plan = Plan(recurrence, jnp.dtype(dtype), parallel=True, size=steps * 6)

    def scan(parameters, state, xs):
        begun, carry = recurrence.begin(parameters, state)
        traces, (ys,) = run(plan, begun.coefficients, carry.traces, state.noise, xs)
        return state._replace(traces=traces), ys

    return scan


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
def test_nan_stays_in_its_own_element_in_parallel(kind):
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


# Gradients ------------------------------------------------------------------------------------


WEIGHTS = np.random.default_rng(2).normal(size=(STEPS, *SHAPE))


def gradients(kind, dtype, scan, xs):
    """Derivatives of a loss of outputs and final state by parameters, start and input."""
    tracer = kind.make(SHAPE, dtype=dtype)

    def loss(parameters, traces, xs):
        final, ys = scan(parameters, tracer.state._replace(traces=traces), xs)
        wide = xs.dtype
        squares = sum((trace.astype(wide) ** 2).sum() for trace in final.traces)
        return (ys.astype(wide) * WEIGHTS.astype(wide)).sum() + squares

    found = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(tracer.parameters, tracer.state.traces, xs)
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(found)]


def differences(kind, xs):
    """The same of the law in NumPy."""
    p = reference.parameters(kind)
    stages = len(kind.rest)

    def loss(*arguments):
        values, traces, xs = arguments[:-1][: len(p)], arguments[len(p) : -1], arguments[-1]
        final, ys = reference.run(kind, dict(zip(p, values, strict=True)), list(traces), xs)
        return (ys * WEIGHTS[: len(xs)]).sum() + sum((trace**2).sum() for trace in final)

    start = reference.at_rest(kind, p, SHAPE)
    assert len(start) == stages
    return reference.gradient(loss, [*p.values(), *start, xs])


def recurrence_scan(kind, method, dtype="float64"):
    return functools.partial(kind.make(SHAPE, dtype=dtype).recurrence.scan, method=method)


@every_kind
def test_gradients_of_both_ways_are_those_of_the_law(x64, kind):
    # Traces go over both bounds; no input and no trace lies on one, where a difference is of no
    # use. The parallel way by chunks, in which its derivative is computed too.
    xs = np.random.default_rng(3).normal(0.3, 1, (STEPS, *SHAPE))
    expected = differences(kind, xs)
    chunk = 2 if kind.name in ("tracer", "saturable-double") else STEPS
    sequential = gradients(kind, "float64", recurrence_scan(kind, "sequential"), xs)
    parallel = gradients(kind, "float64", chunked(kind, chunk), xs)
    for one, other, derivative in zip(sequential, parallel, expected, strict=True):
        # A central difference: rounding 1e-16/h and truncation h^2, times the loss of order 10.
        np.testing.assert_allclose(one, derivative, rtol=1e-6, atol=3e-8)
        atol = tolerance("gradient", "float64") * (np.abs(one).max() + 1)
        np.testing.assert_allclose(other, one, rtol=0, atol=atol)


@every_kind
def test_gradients_of_a_single_step_are_those_of_the_law(x64, kind):
    xs = np.random.default_rng(3).normal(0.3, 1, (1, *SHAPE))
    recurrence = kind.make(SHAPE, dtype="float64").recurrence

    def step(parameters, state, xs):
        state, y = recurrence.step(parameters, state, xs[0])
        return state, jnp.stack([y, *[jnp.zeros_like(y)] * (STEPS - 1)])

    found = gradients(kind, "float64", step, xs)
    for one, derivative in zip(found, differences(kind, xs), strict=True):
        np.testing.assert_allclose(one, derivative, rtol=1e-6, atol=3e-8)  # as above


# The gradient runs along the traces that were kept, however they came about.
@pairs(
    ("tracer", ("bfloat16", "parallel")),
    ("saturable", ("float16", "sequential")),
    ("double", ("float16", "parallel")),
    ("resource-usage", ("float16", "sequential")),
)
def test_half_precision_gradients_are_those_of_the_law(kind, option):
    dtype, method = option
    xs = np.random.default_rng(4).uniform(0.05, 0.35, (STEPS, *SHAPE)).astype(np.float32)
    found = gradients(kind, dtype, recurrence_scan(kind, method, dtype), xs)
    expected = differences(kind, xs.astype(float))
    eps = float(jnp.finfo(dtype).eps)
    values = [*reference.parameters(kind).values(), *[1.0] * len(found)]
    for one, other, value in zip(found, expected, values, strict=False):
        # In units of the parameter: cotangents of 5 outputs, each rounded to half precision.
        np.testing.assert_allclose(
            one * value, other * value, rtol=0, atol=20 * eps * (np.abs(other * value).max() + 1)
        )
        assert np.any(one)


# The reverse pass is the transpose of this one: a kind for each way, integrator and clip.
@pairs(
    ("tracer-euler", "parallel"),
    ("double", "sequential"),
    ("saturable-double", "sequential"),
    ("resource-usage", "parallel"),
)
def test_forward_derivatives_are_those_of_the_law(x64, kind, option):
    rng = np.random.default_rng(3)
    xs = rng.normal(0.3, 1, (STEPS, *SHAPE))
    p = reference.parameters(kind)
    start = reference.at_rest(kind, p, SHAPE)
    along = [rng.normal(size=np.shape(each)) for each in (*p.values(), *start, xs)]
    scan = recurrence_scan(kind, option)
    tracer = kind.make(SHAPE, dtype="float64")

    def outputs(parameters, traces, xs):
        return scan(parameters, tracer.state._replace(traces=traces), xs)[1]

    at = (tracer.parameters, tracer.state.traces, xs)
    tangents = jax.tree.unflatten(jax.tree.structure(at), along)
    _, found = jax.jit(lambda at, tangents: jax.jvp(outputs, at, tangents))(at, tangents)

    def moved(h):
        *values, xs_moved = [
            a + h * b for a, b in zip((*p.values(), *start, xs), along, strict=True)
        ]
        moved_p = dict(zip(p, values[: len(p)], strict=True))
        return reference.run(kind, moved_p, values[len(p) :], xs_moved)[1]

    # A central difference, as above.
    expected = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-8)


@every_way
def test_the_gradient_of_a_slow_trace_decays_as_it_does(method):
    # At tau = 1e6 dt a decay rounded to float32 takes 1 % too much away.
    tracer = Tracer(4096, 1e6, dtype="float32")
    weights = np.random.default_rng(5).uniform(0.5, 1, 4096).astype(np.float32)

    def total(traces):
        state = tracer.state._replace(traces=traces)
        xs = jnp.zeros((1000, 1))
        return (weights * tracer.recurrence.scan(tracer.parameters, state, xs, method)[1][-1]).sum()

    (found,) = jax.jit(jax.grad(total))(tracer.state.traces)
    # A step rounds by up to 3e-8, and for one weight the same way each time: over 1000 steps by
    # 2e-5 (one standard deviation), over 4096 weights in the mean by 4e-7.
    mean = (np.asarray(found, float) / weights).mean()
    assert mean == pytest.approx(np.exp(-1e-3), rel=2e-6)


@pytest.mark.parametrize(
    ("method", "second"),
    [
        ("sequential", lambda f: jax.grad(jax.grad(f))),
        ("parallel", lambda f: lambda tau: jax.jvp(jax.grad(f), (tau,), (jnp.ones(()),))[1]),
    ],
    ids=METHODS,
)
def test_second_derivative(x64, method, second):
    tracer = KINDS[0].make((1,), dtype="float64")
    xs = jnp.eye(3, 1, dtype="float64")

    def last(tau):
        parameters = tracer.parameters._replace(tau=tau)
        return tracer.recurrence.scan(parameters, tracer.state, xs, method)[1][-1, 0]

    # scale exp(-2/tau), and its second derivative.
    tau = 7.0
    expected = 0.5 * np.exp(-2 / tau) * (4 / tau**4 - 4 / tau**3)
    assert float(jax.jit(second(last))(jnp.float64(tau))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["sequential", "parallel", "steps"])
def test_a_trace_at_rest_on_its_bound_has_a_gradient(method):
    tracer = named("saturable")[0].cls(5, 5.0, dtype="float32")  # base 0 is the lower bound
    recurrence, state, parameters = tracer.recurrence, tracer.state, tracer.parameters

    def last(x):
        xs = jnp.stack([x, jnp.zeros_like(x)])
        if method == "steps":
            ys = lax.scan(functools.partial(recurrence.step, parameters), state, xs)[1]
        else:
            ys = recurrence.scan(parameters, state, xs, method)[1]
        return ys[-1].sum()

    decay = np.exp(-1 / 5)
    found = jax.jit(jax.grad(last))(np.float32([0.0, 0.5, 1.0, 1.1, -0.1]))
    np.testing.assert_allclose(found, [decay, decay, decay, 0, 0], rtol=1e-6)


@every_way
def test_spikes_of_short_term_plasticity_have_the_whole_gradient(method):
    # x = 1, a spike, is the bound of the clip: its derivative is the one-sided one.
    tracer = named("resource-usage")[0].make(1, dtype="float32")

    def total(xs):
        return tracer.recurrence.scan(tracer.parameters, tracer.state, xs, method)[1].sum()

    gradient = jax.jit(jax.grad(total))
    at, below = (gradient(np.full((3, 1), x, np.float32)) for x in (1, 1 - 1e-6))
    np.testing.assert_allclose(np.asarray(at), np.asarray(below), rtol=1e-4, atol=1e-6)


@every_kind
@every_way
def test_a_reverse_pass_stores_the_traces_and_nothing_else_over_time(kind, method):
    time, elements = 40, 32
    tracer = kind.make(elements)
    xs = jnp.asarray(spikes(0, (time, elements)))

    def outputs(parameters):
        return tracer.recurrence.scan(parameters, tracer.state, xs, method)[1]

    # Shapes are enough: nothing runs.
    ys, pullback = jax.eval_shape(functools.partial(jax.vjp, outputs), tracer.parameters)

    def size(leaf):
        return leaf.size * leaf.dtype.itemsize

    stored = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= time]
    floating = [leaf for leaf in stored if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # One trace is the outputs; two stages have two. The input is kept as it came, and steps count.
    assert sum(size(leaf) for leaf in floating) == len(kind.rest) * size(ys)
    assert sum(size(leaf) for leaf in stored) <= len(kind.rest) * size(ys) + xs.nbytes + 8 * time

"""Derivatives of every way to run, for every class: those of the law, by differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spark.core.tracers import Tracer
from spark.core.tracers.testing import tolerance

from . import reference
from .kinds import KINDS, named, pairs, spikes
from .scanning import METHODS, SHAPE, STEPS, chunked, every_kind, every_way

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
    # 2e-5 (one standard deviation), over 4096 weights on average by 4e-7.
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

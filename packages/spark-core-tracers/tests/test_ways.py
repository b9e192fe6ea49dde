"""Every way to run, for every class: equal values, equal final states, equal gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spark.core.tracers import RUTracer, SaturableDoubleTracer, Tracer, plan, ways
from spark.core.tracers.agreement import tolerance

from .kinds import KINDS, NEAREST, spikes

SHAPE = (3, 2)
METHODS = ["sequential", "parallel"]
# How a state is rounded does not depend on the way: NEAREST would compile the same programs again.
WAYS_KINDS = [kind for kind in KINDS if kind is not NEAREST]
every_kind = pytest.mark.parametrize("kind", WAYS_KINDS, ids=lambda kind: kind.name)
every_way = pytest.mark.parametrize("method", METHODS)
# All dtypes but float64 compute in float32: one of them for every kind, and every one for one kind.
every_kind_and_dtype = pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, dtype) for kind in WAYS_KINDS for dtype in ("float64", "float16")]
    + [(WAYS_KINDS[0], dtype) for dtype in ("float32", "bfloat16")],
    ids=lambda value: getattr(value, "name", value),
)


def inputs(time, seed=0):
    """Graded spikes, some of them negative: traces reach both bounds."""
    rng = np.random.default_rng(seed)
    return np.where(spikes(seed, (time, *SHAPE), 0.3), rng.normal(0.3, 1, (time, *SHAPE)), 0)


@every_kind_and_dtype
def test_ways_agree_in_values_and_final_state(x64, kind, dtype):
    xs = inputs(12)
    tracers = {method: kind.make(SHAPE, dtype=dtype) for method in METHODS}
    ys = {m: np.asarray(t.scan(xs, method=m), np.float64) for m, t in tracers.items()}
    np.testing.assert_allclose(
        ys["parallel"], ys["sequential"], rtol=0, atol=tolerance("parallel", dtype)
    )
    for name, trace in kind.traces(tracers["sequential"]).items():
        found = kind.traces(tracers["parallel"])[name]
        assert found.dtype == trace.dtype
        np.testing.assert_allclose(
            found.astype(float), trace.astype(float), rtol=0, atol=tolerance("parallel", dtype)
        )
    assert int(tracers["parallel"].rng.count[...]) == 12


@every_kind_and_dtype
def test_one_way_continues_where_the_other_stopped(x64, kind, dtype):
    xs = inputs(12)
    whole = np.asarray(kind.make(SHAPE, dtype=dtype).scan(xs, "sequential"), float)
    tracer = kind.make(SHAPE, dtype=dtype)
    ways_taken = ("sequential", "parallel", "sequential")
    parts = [tracer.scan(part, way) for part, way in zip(np.split(xs, 3), ways_taken, strict=True)]
    found = np.concatenate([np.asarray(part, float) for part in parts])
    np.testing.assert_allclose(found, whole, rtol=0, atol=tolerance("parallel", dtype))


@every_kind
def test_chunks_change_nothing(x64, kind, monkeypatch):
    xs = jnp.asarray(inputs(9))
    tracer = kind.make(SHAPE, dtype="float64")
    recurrence, state = tracer.recurrence, tracer.state

    def values(method):
        # A jit of its own: the size of a chunk is read when it is traced.
        return jax.jit(lambda p: recurrence.scan(p, state, xs, method)[1])(tracer.parameters)

    expected = np.asarray(values("sequential"))
    for steps in (1, 4):
        monkeypatch.setattr(plan, "CHUNK", steps * 6)
        found = np.asarray(values("parallel"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance("parallel", "float64"))


@every_kind
@pytest.mark.parametrize("tau", [1.0, 0.125])
def test_a_small_value_after_a_large_one_keeps_its_digits(x64, kind, tau):
    # A pulse, and what is left of it many time constants, or one step of eight of them, later.
    if kind.arguments.get("integrator") == "euler":
        tau = max(tau, 1.25)
    values = {"tau": tau, "base": 0.0}
    changed = {
        name: value for name in kind.arguments for part, value in values.items() if part in name
    }
    if "saturable" in kind.name:
        changed["maximum"] = 1e6
    pulse = np.zeros((16, 1))
    pulse[0] = 1e4
    expected = np.asarray(kind.make(1, dtype="float64", **changed).scan(pulse))[:, 0]
    tracers = [kind.make(1, dtype="float32", **changed) for _ in range(3)]
    found = {m: t.scan(pulse, method=m)[:, 0] for m, t in zip(METHODS, tracers, strict=False)}
    if kind.cls is not SaturableDoubleTracer:
        times, nowhere = np.arange(1.0, 17.0), np.zeros(16, int)
        found["jump"] = tracers[2].jump(times, nowhere, 16.0, pulse[:, 0])
        # In one go to the end.
        tracers[2].reset()
        tracers[2].jump([1.0], [0], 16.0, [1e4])
        if kind.cls is not RUTracer:
            found["end"] = np.append(np.asarray(found["jump"])[:-1], tracers[2].value)
    normal = expected > 1e-30
    assert expected[normal].min() < 1e-2 * expected.max()
    for way, ys in found.items():
        # A rounding of float32, 6e-8, per step; and one of the rate, times up to 70 of decay.
        np.testing.assert_allclose(
            np.asarray(ys, float)[normal], expected[normal], rtol=5e-6, err_msg=way
        )


@every_kind
@every_way
@pytest.mark.parametrize("x_shape", [(), (3, 1)])
def test_inputs_broadcast_over_time(kind, method, x_shape):
    xs = np.random.default_rng(1).random((4, *x_shape)).astype(np.float32)
    full = np.broadcast_to(xs.reshape(4, *(1,) * (2 - len(x_shape)), *x_shape), (4, *SHAPE))
    found = kind.make(SHAPE, dtype="float32").scan(xs, method)
    expected = kind.make(SHAPE, dtype="float32").scan(full, method)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=1e-6)


@every_kind
@every_way
@pytest.mark.parametrize(("time", "shape"), [(0, (2,)), (3, (0,)), (3, ()), (0, (2, 0))])
def test_empty_shapes_and_times(kind, method, time, shape):
    tracer = kind.make(shape, dtype="float16")
    assert tracer.scan(np.ones((time, *shape), bool), method).shape == (time, *shape)
    assert tracer.value.shape == shape


@every_kind
def test_rest_stays_at_rest_in_parallel(kind):
    tracer = kind.make(SHAPE, dtype="float32")
    before = kind.traces(tracer)
    tracer.scan(np.zeros((40, *SHAPE)), "parallel")
    for name, trace in kind.traces(tracer).items():
        # A clipped map carries base and bounds as deviations: one rounding.
        np.testing.assert_allclose(trace, before[name], rtol=1e-7)


@every_kind
def test_nan_stays_in_its_own_element_in_parallel(kind):
    xs = inputs(12).astype(np.float32)
    xs[4, 1, 1] = np.nan
    wrong = np.isnan(np.asarray(kind.make(SHAPE, dtype="float32").scan(xs, "parallel")))
    assert wrong[5:, 1, 1].all()
    wrong[4:, 1, 1] = False
    assert not wrong.any()


@every_kind
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_finite_input_never_makes_infinity_in_parallel(kind, dtype):
    tracer = kind.make(4, dtype=dtype)
    ys = tracer.scan(np.full((9, 4), np.finfo(np.float32).max), "parallel")
    assert np.isfinite(np.asarray(ys, np.float32)).all()


def test_parallel_noise_is_that_of_the_steps():
    # One step of one stage carries nothing: both ways round the same number with the same bits.
    x = np.random.default_rng(0).random((1, 50, 20)).astype(np.float32)
    one, other = KINDS[0].make((50, 20)), KINDS[0].make((50, 20))
    np.testing.assert_array_equal(
        np.asarray(one.scan(x, "sequential")), np.asarray(other.scan(x, "parallel"))
    )


def test_auto_follows_the_table(monkeypatch):
    assert ways.choose("sequential", 10, 10) is False
    assert ways.choose("parallel", 10, 10) is True
    monkeypatch.setattr(ways, "_PARALLEL_WINS", {"cpu": (100, 1000)})
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert ways.choose("auto", 100, 1000) is True
    assert ways.choose("auto", 99, 1000) is False
    assert ways.choose("auto", 100, 1001) is False
    monkeypatch.setattr(jax, "default_backend", lambda: "other")
    assert ways.choose("auto", 10**6, 1) is False


# Gradients ------------------------------------------------------------------------------------


def loss_of(kind, dtype, method, weights, start):
    """A loss of outputs and final state, as a function of parameters, start and input."""
    recurrence, state = kind.make(SHAPE, dtype=dtype).recurrence, start

    def loss(parameters, traces, xs):
        here = state._replace(traces=traces)
        if method == "steps":

            def body(here, x):
                return recurrence.step(parameters, here, x)

            final, ys = lax.scan(body, here, xs)
        else:
            final, ys = recurrence.scan(parameters, here, xs, method)
        wide = weights.dtype
        total = (ys.astype(wide) * weights).sum()
        return total + sum((trace.astype(wide) ** 2).sum() for trace in final.traces)

    return loss


def gradients(kind, dtype, method, xs, wide):
    tracer = kind.make(SHAPE, dtype=dtype)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=xs.shape), wide)
    loss = loss_of(kind, dtype, method, weights, tracer.state)
    found = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(
        tracer.parameters, tracer.state.traces, jnp.asarray(xs, wide)
    )
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(found)]


@every_kind
def test_gradients_against_finite_differences(x64, kind):
    # Away from the corners of the clips, where a difference has no meaning.
    xs = np.random.default_rng(3).uniform(0.02, 0.3, (8, *SHAPE))
    found = gradients(kind, "float64", "sequential", xs, jnp.float64)
    tracer = kind.make(SHAPE, dtype="float64")
    weights = jnp.asarray(np.random.default_rng(2).normal(size=xs.shape))
    loss = jax.jit(loss_of(kind, "float64", "steps", weights, tracer.state))
    arguments = (tracer.parameters, tracer.state.traces, jnp.asarray(xs))
    leaves, tree = jax.tree.flatten(arguments)
    for i, leaf in enumerate(leaves):
        for index in [(0,) * leaf.ndim, tuple(n - 1 for n in leaf.shape)]:
            h = 1e-6

            def moved(by, i=i, index=index, leaf=leaf):
                changed = [*leaves[:i], leaf.at[index].add(by), *leaves[i + 1 :]]
                return float(loss(*jax.tree.unflatten(tree, changed)))

            expected = (moved(h) - moved(-h)) / (2 * h)
            # A central difference: rounding 1e-16/h and truncation h^2, times the loss of order 10.
            assert found[i][index] == pytest.approx(expected, rel=1e-6, abs=3e-8)


@every_kind
def test_gradients_are_equal_between_the_ways(x64, kind):
    xs = inputs(8)  # traces go over both bounds
    expected = gradients(kind, "float64", "steps", xs, jnp.float64)
    for method in METHODS:
        found = gradients(kind, "float64", method, xs, jnp.float64)
        for one, other in zip(found, expected, strict=True):
            atol = tolerance("gradient", "float64") * (np.abs(other).max() + 1)
            np.testing.assert_allclose(one, other, rtol=0, atol=atol)


# The gradient runs along the traces that were kept, however they came about: one kind shows it for
# the other dtype and the other way.
@pytest.mark.parametrize(
    ("kind", "dtype", "method"),
    [(kind, "float16", "sequential") for kind in WAYS_KINDS]
    + [(WAYS_KINDS[0], "bfloat16", "parallel")],
    ids=lambda value: getattr(value, "name", value),
)
def test_half_precision_gradients_equal_those_of_float32(kind, dtype, method):
    xs = spikes(4, (8, *SHAPE)).astype(np.float32) * 0.3
    expected = gradients(kind, "float32", method, xs, jnp.float32)
    found = gradients(kind, dtype, method, xs, jnp.float32)
    eps = float(jnp.finfo(dtype).eps)
    values = [np.asarray(value, np.float64) for value in kind.make(SHAPE).parameters]
    values += [1.0] * (len(found) - len(values))
    for one, other, value in zip(found, expected, values, strict=True):
        # In units of the parameter: cotangents of 8 outputs, each rounded to half precision.
        np.testing.assert_allclose(
            one * value, other * value, rtol=0, atol=20 * eps * (np.abs(other * value).max() + 1)
        )
        assert np.any(one) or not np.any(other)


@every_kind
@every_way
def test_forward_mode_equals_reverse_mode(x64, kind, method):
    xs = jnp.asarray(inputs(4))
    tracer = kind.make(SHAPE, dtype="float64")
    recurrence, state = tracer.recurrence, tracer.state

    def outputs(parameters):
        return recurrence.scan(parameters, state, xs, method)[1].sum(axis=0)

    forward = jax.jit(jax.jacfwd(outputs))(tracer.parameters)
    reverse = jax.jit(jax.jacrev(outputs))(tracer.parameters)
    for one, other in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-10, atol=1e-12)


@every_way
def test_the_gradient_of_a_slow_trace_decays_as_it_does(method):
    # At tau = 1e6 dt a decay rounded to float32 takes 1 % too much away.
    tracer = Tracer(64, 1e6, dtype="float32")
    weights = jnp.asarray(np.random.default_rng(5).uniform(0.5, 1, 64), jnp.float32)

    def total(traces):
        state = tracer.state._replace(traces=traces)
        xs = jnp.zeros((1000, 1))
        return (weights * tracer.recurrence.scan(tracer.parameters, state, xs, method)[1][-1]).sum()

    (found,) = jax.jit(jax.grad(total))(tracer.state.traces)
    # Each step rounds by up to 3e-8, of random direction for a random weight: in the mean nothing.
    assert float((found / weights).mean()) == pytest.approx(np.exp(-1e-3), rel=2e-6)


@every_way
def test_second_derivative(x64, method):
    tracer = KINDS[0].make((1,), dtype="float64")
    xs = jnp.eye(5, 1, dtype="float64")

    def last(tau):
        parameters = tracer.parameters._replace(tau=tau)
        return tracer.recurrence.scan(parameters, tracer.state, xs, method)[1][-1, 0]

    # scale exp(-4/tau), and its second derivative.
    tau = 7.0
    expected = 0.5 * np.exp(-4 / tau) * (16 / tau**4 - 8 / tau**3)
    for second in (jax.grad(jax.grad(last)), jax.jacfwd(jax.jacrev(last))):
        assert float(jax.jit(second)(jnp.float64(tau))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["sequential", "parallel", "steps"])
def test_a_trace_at_rest_on_its_bound_has_a_gradient(method):
    kind = next(kind for kind in KINDS if kind.name == "saturable")
    tracer = kind.cls(1, 5.0, dtype="float32")  # base 0 is the lower bound
    recurrence, state, parameters = tracer.recurrence, tracer.state, tracer.parameters

    def last(x):
        xs = jnp.stack([x, jnp.zeros_like(x)])
        if method == "steps":
            return lax.scan(functools.partial(recurrence.step, parameters), state, xs)[1][-1, 0]
        return recurrence.scan(parameters, state, xs, method)[1][-1, 0]

    decay = np.exp(-1 / 5)
    for x, expected in [(0.0, decay), (0.5, decay), (1.0, decay), (1.1, 0.0), (-0.1, 0.0)]:
        assert float(jax.jit(jax.grad(last))(jnp.full(1, x))[0]) == pytest.approx(
            expected, rel=1e-6
        )


@every_way
def test_spikes_of_short_term_plasticity_have_the_whole_gradient(method):
    # x = 1, a spike, is the bound of the clip: its derivative is the one-sided one.
    kind = next(kind for kind in KINDS if kind.name == "resource-usage")
    tracer = kind.make(1, dtype="float32")

    def total(xs):
        return tracer.recurrence.scan(tracer.parameters, tracer.state, xs, method)[1].sum()

    gradient = jax.jit(jax.grad(total))
    at, below = gradient(jnp.ones((3, 1))), gradient(jnp.full((3, 1), 1 - 1e-6))
    np.testing.assert_allclose(np.asarray(at), np.asarray(below), rtol=1e-4, atol=1e-6)


@every_kind
@every_way
def test_a_reverse_pass_stores_the_traces_and_nothing_else_over_time(kind, method):
    time, elements = 200, 32
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

"""From event to event: the values and the state of the law over every step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import Noise, State, Tracer
from spark.core.tracers.testing import tolerance

from . import reference
from .compilation import compiled
from .kinds import JUMPING, every_jumping_kind, named, pairs, parametrized

# Programs are what these tests cost: they share the shape of the state, the time step and the
# number of events. Of one element the gaps are 1, 2, 0 and 3 steps, of another 6; the rest is
# silent. Seven events make a tree of two levels, both with a map left over.
SHAPE, DT, STEPS = (3, 2), 0.5, 12
AT = np.array([0, 1, 3, 3, 3, 6, 9])
ELEMENT = np.array([0, 0, 3, 0, 0, 0, 3])
# Anywhere within the step, its end included.
TIMES = DT * (AT + np.array([1e-3, 0.3, 1e-3, 0.3, 1.0, 1.0, 0.3]))
DURATION = STEPS * DT
X = np.array([0.3, 0.9, 0.4, 0.2, 0.35, 0.1, 0.7])


def dense(x=X, at=AT, element=ELEMENT, steps=STEPS):
    """The same inputs, for every step and element."""
    xs = np.zeros((steps, 6))
    np.add.at(xs, (at, element), x)
    return xs.reshape(steps, *SHAPE)


def of_law(kind, x=X, at=AT, element=ELEMENT, steps=STEPS, **changed):
    """Traces after all steps, and what the step of each event returns for its element."""
    xs = dense(x, at, element, steps)
    traces, ys = reference.from_rest(kind, xs, DT, **changed)
    return traces, ys.reshape(steps, 6)[at, element]


def make(kind, dtype="float32", **changed):
    return kind.make(SHAPE, dtype=dtype, dt=DT, **changed)


def assert_traces(kind, tracer, expected, **close):
    for name, trace in zip(tracer.recurrence.traces, expected, strict=True):
        found = kind.traces(tracer)[name].astype(float)
        np.testing.assert_allclose(found, trace, err_msg=name, **close)


# All dtypes but float64, which the derivatives below are tried in, compute in float32.
@pairs(
    *[(kind.name, "float32") for kind in JUMPING],
    ("tracer", "float16"),
    ("double", "bfloat16"),
    ("resource-usage", "float16"),
)
def test_jump_is_the_law(kind, option):
    tracer = make(kind, option)
    found = tracer.jump(TIMES, ELEMENT, DURATION, X)
    traces, ys = of_law(kind)
    close = {"rtol": 0, "atol": tolerance("jump", option)}
    assert found.dtype == option
    np.testing.assert_allclose(np.asarray(found, float), ys, **close)
    assert_traces(kind, tracer, traces, **close)
    assert int(tracer.rng.count[...]) == STEPS
    # Jumps follow one another, and steps.
    tracer.jump(TIMES, ELEMENT, DURATION, X)
    xs = np.concatenate([dense(), dense()])
    assert_traces(kind, tracer, reference.from_rest(kind, xs, DT)[0], **close)
    assert int(tracer.rng.count[...]) == 2 * STEPS


# Not of short-term plasticity, whose steps multiply in another order than its jumps.
@pairs(("tracer", "float16"), ("double", "bfloat16"))
def test_a_jump_rounds_with_the_bits_of_the_steps(kind, option):
    # At rest for two steps, so that both compute the same numbers; after some steps before.
    jumped, stepped = make(kind, option), make(kind, option)
    for tracer in (jumped, stepped):
        tracer.jump(TIMES, ELEMENT, DURATION, X)
        tracer.reset()
    x = np.linspace(0.1, 0.9, 7)
    x[6] = 0
    elements = np.array([5, 1, 2, 3, 4, 0, 0])
    found = jumped.jump(np.full(7, 3 * DT), elements, 3 * DT, x)
    for each in (0 * x, 0 * x, x):
        expected = stepped(dense(each, 0 * elements, elements, 1)[0].astype(np.float32))
    np.testing.assert_array_equal(found, np.asarray(expected).reshape(-1)[elements])
    for name, trace in kind.traces(stepped).items():
        np.testing.assert_array_equal(kind.traces(jumped)[name], trace)


@every_jumping_kind
def test_a_jump_without_events_decays(kind):
    tracer = make(kind)
    start = np.linspace(0.1, 0.9, 6).reshape(SHAPE)
    for name in kind.rest:
        setattr(tracer, name, start)
    assert tracer.jump([], np.array([], int), 10.0).shape == (0,)
    traces, _ = reference.run(
        kind, reference.parameters(kind), [start] * len(kind.rest), np.zeros((20, *SHAPE)), DT
    )
    assert_traces(kind, tracer, traces, rtol=tolerance("jump", "float32"))


@every_jumping_kind
@pytest.mark.parametrize("tau", [0.25, 0.0625])
def test_a_small_value_after_a_large_one_keeps_its_digits(kind, tau):
    # A pulse, and what is left of it many time constants, or one step of eight of them, later.
    if kind.is_euler:
        tau = max(tau, 1.25 * DT)
    values = {"tau": tau, "base": 0.0}
    changed = {name: values[part] for name in kind.parameters for part in values if part in name}
    x = np.zeros(7)
    x[0] = 1.0 if kind.name == "saturable" else 1e4
    tracer, nowhere = make(kind, **changed), np.zeros(7, int)
    traces, ys = of_law(kind, x, element=nowhere, **changed)
    normal = ys > 1e-30
    assert ys[normal].min() < 1e-2 * ys.max()
    # A rounding of float32, 6e-8, per step; and one of the rate, times up to 70 of decay.
    close = {"rtol": 5e-6, "atol": 1e-30}
    found = np.asarray(tracer.jump(TIMES, nowhere, DURATION, x), float)
    np.testing.assert_allclose(found[normal], ys[normal], rtol=5e-6)
    assert_traces(kind, tracer, traces, **close)
    # In one go to the end: the other events are elsewhere.
    tracer.reset()
    elsewhere = np.array([0, *[5] * 6])
    tracer.jump(TIMES, elsewhere, DURATION, x)
    assert_traces(kind, tracer, of_law(kind, x, element=elsewhere, **changed)[0], **close)


def test_a_jump_over_ten_million_steps_runs_the_program_of_twelve():
    kind = named("tracer")[0]
    tau, steps = 1e5 * DT, 10**7
    at = np.array([5, 10**6, 1_100_000, 1_100_000, 1_100_001, 9_000_000, 9_900_000])
    make(kind).jump(TIMES, ELEMENT, DURATION)
    tracer = make(kind, tau=tau, base=0.0, scale=1.0)
    with compiled() as programs:
        ys = tracer.jump((at + 1.0) * DT, ELEMENT, steps * DT)
    assert not programs  # the one for 12 steps
    for element in (0, 3):
        here = np.flatnonzero(element == ELEMENT)
        since = at[here][:, None] - at[here]
        expected = (np.exp(-since / 1e5) * (since >= 0)).sum(axis=1)  # those of one step act as one
        np.testing.assert_allclose(ys[here], expected, rtol=tolerance("jump", "float32"))
        last = np.exp(-(steps - 1 - at[here]) / 1e5).sum()
        assert float(tracer.value.reshape(-1)[element]) == pytest.approx(last, rel=1e-5)


@every_jumping_kind
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_fault_does_not_reach_other_elements(kind, fault):
    clean, faulty = make(kind), make(kind)
    x = X.copy()
    x[0] = fault
    others = ELEMENT != 0
    expected = np.asarray(clean.jump(TIMES, ELEMENT, DURATION, X))
    found = np.asarray(faulty.jump(TIMES, ELEMENT, DURATION, x))
    np.testing.assert_array_equal(found[others], expected[others])
    value, whole = (np.asarray(tracer.value).reshape(-1) for tracer in (faulty, clean))
    np.testing.assert_array_equal(value[1:], whole[1:])
    # An infinity shows for good as a fault, unless it is clipped.
    if np.isnan(fault) or kind.name not in ("saturable", "resource-usage"):
        assert not np.isfinite(value[0])
        assert not np.isfinite(found[-2])


@pairs(("tracer", "float16"), ("double", "bfloat16"))
def test_an_infinite_input_shows_for_good_in_half_precision(kind, option):
    tracer = make(kind, option)
    tracer.jump(TIMES, ELEMENT, DURATION, np.where(AT == 0, np.inf, X))
    finite = np.isfinite(np.asarray(tracer.value, np.float32)).reshape(-1)
    np.testing.assert_array_equal(finite, np.arange(6) != 0)


def test_large_elements_take_no_digits_from_small_ones():
    kind = named("tracer")[0]
    x = np.where(ELEMENT == 0, 1e6, 1e-2)
    tracer = make(kind, base=0.0)
    found = np.asarray(tracer.jump(TIMES, ELEMENT, DURATION, x))
    traces, ys = of_law(kind, x, base=0.0)
    np.testing.assert_allclose(found, ys, rtol=1e-6)
    assert_traces(kind, tracer, traces, rtol=1e-6)


# Values and derivatives in double precision, with parameters of each element --------------------


@functools.cache
def derivatives(name):
    """A loss of values and final state, these, and its derivatives; compiled once for a kind."""
    recurrence = make(named(name)[0], "float64").recurrence

    def loss(parameters, traces, x):
        state = State(traces, Noise(None, jnp.uint32(0)))
        final, ys = recurrence.jump(
            parameters, state, jnp.asarray(AT), jnp.asarray(ELEMENT), x, STEPS
        )
        squares = sum((trace**2).sum() for trace in final.traces)
        return (ys * np.arange(1.0, 8.0)).sum() + squares, (final.traces, ys)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


def of_each_element(kind):
    """Parameters of each element; an Euler step at its limit, tau = dt, and near it, too."""
    factors = np.linspace(0.6, 1, 6).reshape(SHAPE)
    p = {name: value * factors for name, value in reference.parameters(kind).items()}
    if kind.is_euler:
        for name, value in p.items():
            if "tau" in name:
                value.reshape(-1)[[0, 3]] = DT, 1.5 * DT
    return p


def evaluated(kind, p, traces, x):
    """Traces, values and derivatives of a jump, in NumPy."""
    recurrence = make(kind, "float64").recurrence
    parameters = recurrence.parameters(**p)
    (_, (final, ys)), found = derivatives(kind.name)(parameters, tuple(traces), x)
    return final, np.asarray(ys), [np.asarray(leaf) for leaf in jax.tree.leaves(found)]


# The first stage of a double trace by Euler is the single one.
@parametrized([kind for kind in JUMPING if kind.name != "tracer-euler"])
def test_jump_and_its_gradients_are_the_law_for_parameters_of_each_element(x64, kind):
    p = of_each_element(kind)
    start = [trace + 0.05 for trace in reference.at_rest(kind, p, SHAPE)]
    if kind.name == "resource-usage":
        start[1] -= 0.1
    final, ys, found = evaluated(kind, p, start, X)
    traces, expected = reference.run(kind, p, start, dense(), DT)
    close = {"rtol": 0, "atol": tolerance("jump", "float64")}
    np.testing.assert_allclose(ys, expected.reshape(STEPS, 6)[AT, ELEMENT], **close)
    for one, other in zip(final, traces, strict=True):
        np.testing.assert_allclose(one, other, **close)

    def loss(*arguments):
        values, traces, x = arguments[: len(p)], arguments[len(p) : -1], arguments[-1]
        here = dict(zip(p, values, strict=True))
        final, ys = reference.run(kind, here, list(traces), dense(x), DT)
        squares = sum((trace**2).sum() for trace in final)
        return (ys.reshape(STEPS, 6)[AT, ELEMENT] * np.arange(1.0, 8.0)).sum() + squares

    expected = reference.gradient(loss, [*p.values(), *start, X])
    for one, other in zip(found, expected, strict=True):
        # A central difference: rounding 1e-16/h and truncation h^2, times the loss of order 100.
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=3e-7)


@pairs(
    ("saturable", (0.0, 1e-7)),  # a trace at rest on its bound
    ("resource-usage", (0.0, 1e-7)),
    ("resource-usage", (1.0, 1 - 1e-7)),  # spikes
)
def test_a_gradient_on_a_bound_is_that_within(x64, kind, option):
    p = of_each_element(kind)
    if "base" in p:
        p["base"] = np.zeros(SHAPE)
    start = reference.at_rest(kind, p, SHAPE)
    together = np.where((AT == 3) & (ELEMENT == 0), 0.5, 1.0)  # two events, of a spike in all
    at, within = (evaluated(kind, p, start, x * together)[2] for x in option)
    for one, other in zip(at, within, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert np.abs(at[-1]).min() > 1e-3


def test_a_fault_does_not_reach_the_gradients_of_other_elements(x64):
    kind = named("tracer")[0]
    p = of_each_element(kind)
    start = reference.at_rest(kind, p, SHAPE)
    faulty = np.where(AT == 0, np.nan, X)
    clean, found = (evaluated(kind, p, start, x)[2] for x in (X, faulty))
    others = np.arange(6) != 0
    for one, other in zip(clean[:-1], found[:-1], strict=True):
        np.testing.assert_array_equal(one.reshape(-1)[others], other.reshape(-1)[others])
    np.testing.assert_array_equal(clean[-1][ELEMENT == 3], found[-1][ELEMENT == 3])


def test_a_value_beyond_float16_decays_from_its_float32_value():
    # 1e6 beyond 65504: the state is limited where it is stored, at the end, and nowhere before.
    steps, tau = 30, 10.0
    expected = 1e6 * np.exp(-(steps - 1) / tau)
    for n in (1, 1 << 16):  # one chunk, and one of 16 steps with some left over
        pulse = np.zeros((steps, n), np.float32)
        pulse[0] = 1e6
        ys = Tracer(n, tau).scan(pulse, "parallel")
        assert float(ys[-1, 0]) == pytest.approx(expected, rel=1e-3)  # a spacing of float16
    kind = named("tracer")[0]
    # No event after the first, and one at the end.
    for last in (0, steps - 1):
        tracer = make(kind, "float16", tau=tau * DT, scale=1.0, base=0.0)
        at = np.array([0, 0, 0, 0, 0, last, last]) + 1.0
        tracer.jump(at * DT, [0] * 7, steps * DT, [1e6, *[0.0] * 6])
        assert float(tracer.value[0, 0]) == pytest.approx(expected, rel=1e-3)

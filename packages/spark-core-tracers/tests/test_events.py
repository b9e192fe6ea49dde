"""From event to event: the values and the state of a scan over every step."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from spark.core.tracers import DoubleTracer, Exponential, SaturableDoubleTracer, Tracer, base
from spark.core.tracers._time import as_event_steps, exact_number, steps_at
from spark.core.tracers.agreement import tolerance

from .kinds import KINDS, NEAREST

# How a state is rounded does not depend on the way: NEAREST would compile the same programs again.
JUMPING = [k for k in KINDS if k.cls is not SaturableDoubleTracer and k is not NEAREST]
every_jumping_kind = pytest.mark.parametrize("kind", JUMPING, ids=lambda kind: kind.name)


# All dtypes but float64 compute in float32: one kind tries every one, the others the two ends.
every_kind_and_dtype = pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, dtype) for kind in JUMPING for dtype in ("float64", "float16")]
    + [(JUMPING[0], "float32")],
    ids=lambda value: getattr(value, "name", value),
)


def events(seed, count=16, steps=60, shape=(3, 2), dt=0.5):
    """Times, elements and inputs, some events alone and some together; and the same, dense."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, steps - 20, count))
    element = rng.integers(0, np.prod(shape) - 1, count)  # the last one stays silent
    x = rng.uniform(0.1, 0.9, count)
    dense = np.zeros((steps, *shape))
    np.add.at(dense.reshape(steps, -1), (at, element), x)
    # Anywhere within the step, its end included.
    times = dt * (at + rng.choice([1.0, 0.3, 1e-3], count))
    order = np.argsort(times, kind="stable")
    return times[order], element[order], x[order], at[order], dense, steps * dt


@every_kind_and_dtype
def test_jump_equals_scan(x64, kind, dtype):
    times, element, x, at, dense, duration = events(0)
    scanned, jumped = (kind.make((3, 2), dtype=dtype, dt=0.5) for _ in range(2))
    ys = np.asarray(scanned.scan(dense), float).reshape(len(dense), -1)[at, element]
    found = jumped.jump(times, element, duration, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, float), ys, rtol=0, atol=tolerance("jump", dtype))
    for name, trace in kind.traces(scanned).items():
        np.testing.assert_allclose(
            kind.traces(jumped)[name].astype(float),
            trace.astype(float),
            rtol=0,
            atol=tolerance("jump", dtype),
        )
    assert int(jumped.rng.count[...]) == len(dense)


@every_jumping_kind
def test_jumps_follow_one_another(x64, kind):
    times, element, x, _, _, duration = events(1)
    whole, parts = (kind.make((3, 2), dtype="float64", dt=0.5) for _ in range(2))
    expected = np.asarray(whole.jump(times, element, duration, x))
    early = times <= 15.0
    found = [
        parts.jump(times[early], element[early], 15.0, x[early]),
        parts.jump(times[~early] - 15.0, element[~early], duration - 15.0, x[~early]),
    ]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12, atol=1e-14)
    for name, trace in kind.traces(whole).items():
        np.testing.assert_allclose(kind.traces(parts)[name], trace, rtol=1e-12, atol=1e-14)


@every_jumping_kind
def test_silence_alone(x64, kind):
    jumped, scanned = (kind.make(4, dtype="float64") for _ in range(2))
    for tracer in (jumped, scanned):
        tracer(np.array([1.0, 0.5, 0.0, 0.2]))
    assert jumped.jump([], np.array([], int), 300.0).shape == (0,)
    scanned.scan(np.zeros((300, 1)))
    for name, trace in kind.traces(scanned).items():
        np.testing.assert_allclose(kind.traces(jumped)[name], trace, rtol=1e-12, atol=1e-15)


@every_jumping_kind
def test_parameters_of_each_element(x64, kind):
    times, element, x, at, dense, duration = events(2)
    factors = np.linspace(0.6, 1, 6).reshape(3, 2)
    arguments = {
        name: value * factors
        for name, value in kind.arguments.items()
        if not isinstance(value, str)
    }
    scanned, jumped = (kind.make((3, 2), dtype="float64", dt=0.5, **arguments) for _ in range(2))
    ys = np.asarray(scanned.scan(dense)).reshape(len(dense), -1)[at, element]
    np.testing.assert_allclose(
        np.asarray(jumped.jump(times, element, duration, x)), ys, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("tau", [1.0, 1.5])
def test_euler_at_its_limit(x64, tau):
    # tau = dt decays within a step.
    kind = next(kind for kind in KINDS if kind.name == "double-euler")
    arguments = {"tau_1": tau, "tau_2": 1.0, "dtype": "float64"}
    scanned, jumped = kind.make(1, **arguments), kind.make(1, **arguments)
    at = np.array([3, 4, 9])
    dense = np.zeros((15, 1))
    dense[at] = 1
    ys = np.asarray(scanned.scan(dense))[at, 0]
    np.testing.assert_allclose(np.asarray(jumped.jump(at + 1.0, at * 0, 15.0)), ys, atol=1e-14)
    np.testing.assert_allclose(np.asarray(jumped.value), np.asarray(scanned.value), atol=1e-14)


def test_ten_million_steps_are_no_work(x64):
    times = np.sort(np.random.default_rng(0).integers(1, 10**7, 1000)).astype(float)
    tracer = Tracer(1, 1e5, dtype="float64")
    Tracer(1, 1e5, dtype="float64").jump(times / 1e4, np.zeros(1000, int), 1e3)
    programs = base._jump._cache_size()
    ys = np.asarray(tracer.jump(times, np.zeros(1000, int), 1e7))
    # The program for 10^3 steps is the program for 10^7.
    assert base._jump._cache_size() == programs
    expected, last, y = [], 0.0, 0.0
    for t in times:
        y = y * np.exp(-(t - last) / 1e5) + 1
        last = t
        expected.append(y)
    unique = np.append(times[1:] != times[:-1], True)  # events of one step act as one
    np.testing.assert_allclose(ys[unique], np.array(expected)[unique], rtol=1e-11)
    assert float(tracer.value[0]) == pytest.approx(y * np.exp(-(1e7 - last) / 1e5), rel=1e-10)


@every_jumping_kind
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_fault_stays_in_its_own_element(kind, fault):
    arguments = ([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 1], 6.0)
    clean, faulty = kind.make(3, dtype="float32"), kind.make(3, dtype="float32")
    expected = np.asarray(clean.jump(*arguments, [0.7, 0.5, 0.25, 0.1]))
    found = np.asarray(faulty.jump(*arguments, [fault, 0.5, 0.25, 0.1]))
    np.testing.assert_array_equal(found[1:], expected[1:])
    np.testing.assert_array_equal(np.asarray(faulty.value)[1:], np.asarray(clean.value)[1:])
    if np.isnan(fault) or (kind.cls is Tracer):
        assert np.isnan(np.asarray(faulty.value)[0])


def test_large_elements_take_no_digits_from_small_ones():
    scale = np.array([1e6, 1e-2])
    jumped, scanned = Tracer(2, 5.0, scale, dtype="float32"), Tracer(2, 5.0, scale, dtype="float32")
    found = np.asarray(jumped.jump([1.0, 2.0, 3.0], [0, 1, 1], 4.0))
    dense = np.array([[1, 0], [0, 1], [0, 1], [0, 0]])
    ys = np.asarray(scanned.scan(dense))
    np.testing.assert_allclose(found, [ys[0, 0], ys[1, 1], ys[2, 1]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(jumped.value), np.asarray(scanned.value), rtol=1e-6)


@every_jumping_kind
def test_gradients_equal_those_of_a_scan(x64, kind):
    _, element, x, at, _, _ = events(3)
    tracer = kind.make((3, 2), dtype="float64")
    recurrence, state = tracer.recurrence, tracer.state

    def total(final, ys):
        return ys.sum() + sum(trace.sum() for trace in final.traces)

    def by_jump(parameters, traces, x):
        here = state._replace(traces=traces)
        return total(*recurrence.jump(parameters, here, at, element, x, 60))

    def by_scan(parameters, traces, x):
        xs = jnp.zeros((60, 6)).at[at, element].add(x).reshape(60, 3, 2)
        final, ys = recurrence.scan(parameters, state._replace(traces=traces), xs)
        return total(final, ys.reshape(60, 6)[at, element])

    by_jump, by_scan = (jax.jit(jax.grad(f, argnums=(0, 1, 2))) for f in (by_jump, by_scan))
    at, element = jnp.asarray(at), jnp.asarray(element)
    for x_here in (x, 0 * x, 0 * x + 1):  # also on the bounds of a clip
        arguments = tracer.parameters, state.traces, jnp.asarray(x_here)
        found, expected = (jax.tree.leaves(f(*arguments)) for f in (by_jump, by_scan))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("gap", [1, 2, 3])
@pytest.mark.parametrize(("cls", "taus"), [(Tracer, (1.0,)), (DoubleTracer, (1.0, 1.0))])
def test_gradient_of_an_euler_jump_at_its_limit(cls, taus, gap):
    tracer = cls(1, *taus, integrator="euler", dtype="float32")
    recurrence, state = tracer.recurrence, tracer.state
    steps = [0, gap, 2 * gap]

    def by_jump(parameters):
        arguments = (jnp.array(steps), jnp.zeros(3, int), jnp.ones(3), 2 * gap + 1)
        return recurrence.jump(parameters, state, *arguments)[1][-1]

    def by_scan(parameters):
        xs = jnp.zeros((2 * gap + 1, 1)).at[jnp.array(steps)].set(1.0)
        return recurrence.scan(parameters, state, xs)[1][-1, 0]

    found, expected = (jax.jit(jax.grad(f))(tracer.parameters) for f in (by_jump, by_scan))
    # Small whole numbers in float32, of which a decay of exp(-80) takes nothing.
    np.testing.assert_allclose(jax.tree.leaves(found), jax.tree.leaves(expected), rtol=1e-6)


def test_a_fault_stays_out_of_the_gradients_of_other_elements(x64):
    recurrence = Tracer(2, 5.0, dtype="float64").recurrence
    steps, elements = jnp.array([0, 2, 0, 2]), jnp.array([0, 0, 1, 1])
    x = jnp.array([np.nan, 1.0, 1.0, 1.0])

    def of_element_1(tau):
        parameters = recurrence.parameters(tau, 1.0, 0.0)
        state = recurrence.init(parameters, (2,), jnp.float64)
        return recurrence.jump(parameters, state, steps, elements, x, 3)[1][2:].sum()

    gradient = jax.grad(of_element_1)(jnp.array([5.0, 5.0]))
    # d/dtau (1 + exp(-2/tau)) = 2/tau^2 exp(-2/tau)
    assert gradient[1] == pytest.approx(2 / 25 * np.exp(-2 / 5), rel=1e-12)


def test_what_float16_cannot_hold_decays_from_where_it_is():
    # 1e6 beyond 65504: the state is limited where it is stored, at the end, and nowhere before.
    expected = 1e6 * np.exp(-299 / 100)
    pulse = np.zeros((300, 1), np.float32)
    pulse[0] = 1e6
    for n in (1, 16384):  # one chunk, and several
        ys = Tracer(n, 100.0).scan(np.broadcast_to(pulse, (300, n)), "parallel")
        assert float(ys[-1, 0]) == pytest.approx(expected, rel=1e-3)  # a spacing of float16
    for events in (([1.0], [0], 300.0, [1e6]), ([1.0, 300.0], [0, 0], 300.0, [1e6, 0.0])):
        tracer = Tracer(1, 100.0)
        tracer.jump(*events)
        assert float(tracer.value[0]) == pytest.approx(expected, rel=1e-3)


NARROW = [np.float32, np.float16, jnp.float32, jnp.float16, jnp.bfloat16]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("decimal", [0.1, 0.3, 0.7, 0.01, 25.0, 1e-3, 1.25, 3e4, -0.7, 0.0])
def test_a_number_of_a_narrow_dtype_is_its_shortest_decimal(dtype, decimal):
    # Every decimal of two digits is the shortest of its neighbourhood in 8 bits (bfloat16), 1.25 is
    # a number that each of them holds.
    assert exact_number(dtype(decimal)) == decimal
    assert exact_number(np.asarray(dtype(decimal))) == decimal


def test_every_float32_is_the_decimal_that_numpy_prints():
    bits = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint64).astype(np.uint32)
    for number in bits.view(np.float32):
        found = exact_number(number)
        assert np.float32(found) == number or np.isnan(number)
        # Where the neighbours are not equally far, just above a power of 2, NumPy may save a digit.
        assert found == float(str(number)) or np.isnan(number) or np.frexp(number)[0] == 0.5


def test_a_wider_number_is_itself():
    for number in (0.1, 3, True, np.int8(3), np.float64(0.1), Fraction(1, 10), 0.1 + 0.2):
        assert exact_number(number) == float(number)
    assert np.isnan(exact_number(np.float32(np.nan)))
    assert exact_number(np.float16(np.inf)) == np.inf


def test_lengths_of_time_are_read_to_their_digits():
    assert Tracer(1, 5.0, dt=np.float32(0.7)).dt == 0.7
    assert Exponential(jnp.float16(0.1)) == Exponential(0.1)
    for dt, duration in ((0.1, np.float32(0.3)), (np.float32(0.1), 0.3), (0.1, jnp.float16(0.3))):
        tracer = Tracer(1, 5.0, dt=dt)
        tracer.jump([0.3], [0], duration)
        assert int(tracer.rng.count[...]) == 3
    # One time step earlier than float(np.float32(0.7)) = 0.69999999 would have it.
    tracer = Tracer(1, 5.0, dt=np.float32(0.7))
    assert float(tracer.jump([0.7, 1.4], [0, 0], 1.4)[0]) == 1.0


@pytest.mark.parametrize("dt", [0.1, 1e-3, 0.7, 1 / 3, 0.25])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_times_fall_in_the_steps_that_they_end(dtype, dt):
    # A product with a rounded dt is off by an epsilon of its dtype, in relation: at 1 / (4 epsilon)
    # steps by a quarter of a step.
    count = min(60_000, int(1 / float(ml_dtypes.finfo(dtype).eps) / 4))
    for times in (
        np.arange(1, count + 1).astype(dtype) * dtype(dt),
        (np.arange(1, count + 1) * dt).astype(dtype),
    ):
        assert times.dtype == dtype
        for duration in (count * dt, times[-1]):
            steps, found = as_event_steps(times, duration, dt)
            np.testing.assert_array_equal(np.asarray(steps), np.arange(count))
            assert int(found) == count
        # Where a step begins with its sample, the same time begins the next one.
        np.testing.assert_array_equal(steps_at(times, dt, closed="left"), np.arange(count) + 1)


@pytest.mark.parametrize("dtype", [*map(np.dtype, "bBhHiIlLqQ"), np.dtype(np.float16)])
def test_whole_times_of_every_dtype(dtype):
    steps, _ = as_event_steps(np.array([1, 2, 5], dtype), 5, 1.0)
    np.testing.assert_array_equal(np.asarray(steps), [0, 1, 4])
    steps, _ = as_event_steps(np.array([1, 2, 5], dtype), dtype.type(5), 0.1)
    np.testing.assert_array_equal(np.asarray(steps), [9, 19, 49])
    np.testing.assert_array_equal(steps_at(np.array([1, 2, 5], dtype), 1000.0), [0, 0, 0])
    with pytest.raises(ValueError, match=r"times must ascend, got 5.* before 2"):
        as_event_steps(np.array([1, 5, 2], dtype), 5, 1.0)


def test_large_whole_times_are_exact():
    # Beyond what a difference of float32 numbers tells apart.
    times = np.array([2**31 - 3, 2**31 - 2], np.uint32)
    np.testing.assert_array_equal(steps_at(times, 1.0), times - np.uint32(1))


def test_a_tolerance_takes_times_that_a_clock_has_added_up():
    times = np.cumsum(np.full(10_000, 0.1))
    # Later than a multiple, in exact arithmetic, by more than the rounding of the multiple itself.
    late = [Fraction(t) > Fraction(k * 0.1) for k, t in enumerate(times, 1)]
    assert sum(late) > 7000
    assert (steps_at(times, 0.1) != np.arange(10_000)).sum() > 7000
    steps, count = as_event_steps(times, times[-1], 0.1, tolerance=0.01)
    np.testing.assert_array_equal(np.asarray(steps), np.arange(10_000))
    assert int(count) == 10_000
    tracer = Tracer(1, 5.0, dt=0.1)
    tracer.jump(times[-3:], [0, 0, 0], times[-1], tolerance=0.01)
    assert int(tracer.rng.count[...]) == 10_000


@pytest.mark.parametrize("dt", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.25, 0.49])
@pytest.mark.parametrize("closed", ["right", "left"])
def test_steps_with_a_tolerance_in_exact_arithmetic(dt, tolerance, closed):
    parts = np.array([-0.495, -0.3, -0.255, -0.245, -0.02, -0.009, 0.009, 0.02, 0.245, 0.255, 0.3])
    times = (np.arange(1, 40)[:, None] + parts).ravel() * dt

    def step(time):
        position = Fraction(time) / Fraction(dt)
        if abs(position - round(position)) <= Fraction(tolerance):
            position = Fraction(round(position))
        return math.floor(position) if closed == "left" else max(math.ceil(position) - 1, 0)

    np.testing.assert_array_equal(
        steps_at(times, dt, tolerance, closed), [step(time) for time in times]
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_times_between_steps_fall_in_the_next(dtype, dt):
    # Numbers that the dtype holds, up to where it holds whole numbers alone; dt is a power of 2.
    largest = min(1e8, 1 / float(ml_dtypes.finfo(dtype).eps))
    times = np.sort(np.geomspace(1e-12 if dtype == np.float64 else 1e-3, largest, 4001))
    times = times.astype(dtype)
    expected = np.ceil(times.astype(np.float64) / dt) - 1
    np.testing.assert_array_equal(steps_at(times, dt), expected)


def test_traced_times_are_refused():
    with pytest.raises(TypeError, match=r"use the tracer's recurrence.jump"):
        jax.jit(lambda t: Tracer(1, 5.0).jump(t, [0], 5.0))(jnp.ones(1))


BAD = [
    (([3.0, 2.0], [0, 0], 5.0), ValueError, r"times must ascend, got 3.0 before 2.0"),
    (([0.0], [0], 5.0), ValueError, r"times must lie in \(0, duration\] = \(0, 5\], got 0.0"),
    (([6.0], [0], 5.0), ValueError, r"times must lie in .* got 6.0"),
    (([np.nan], [0], 5.0), ValueError, r"times must lie in .* got nan"),
    (([[1.0]], [0], 5.0), ValueError, r"times must have one axis, got shape \(1, 1\)"),
    (([1.0], [2], 5.0), ValueError, r"elements must lie in \[0, 2\), got 2"),
    (([1.0], [-1], 5.0), ValueError, r"elements must lie in \[0, 2\), got -1"),
    (([1.0], [0.5], 5.0), TypeError, r"elements must be integers, got dtype float64"),
    (([1.0], [0, 1], 5.0), ValueError, r"elements must have shape \(1,\)"),
    (([1.0], [0], -5.0), ValueError, r"duration must be finite and > 0, got -5.0"),
    (([np.inf], [0], 5.0), ValueError, r"times must lie in .* got inf"),
    (([1.0], [0], 1e12), ValueError, r"duration must be less than 2\^31 steps"),
    (([1.0], [0], 1e308), ValueError, r"duration must be less than 2\^31 steps"),
    (([1.0], [0], 5.0, [1.0, 2.0]), ValueError, r"x of shape \(2,\) does not broadcast"),
    (([1.0], [0], 5.0, "x"), TypeError, r"x must be boolean, integer or floating"),
]


@pytest.mark.parametrize("tolerance", [-0.01, 0.5, np.nan, "a", None])
def test_a_tolerance_is_a_part_of_a_step(tolerance):
    with pytest.raises((TypeError, ValueError), match=r"tolerance must .*, got"):
        Tracer(1, 5.0).jump([1.0], [0], 5.0, tolerance=tolerance)


@every_jumping_kind
@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_jump_refuses_and_leaves_the_state(kind, arguments, error, message):
    tracer = kind.make(2)
    before = kind.traces(tracer)
    with pytest.raises(error, match=message):
        tracer.jump(*arguments)
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, before[name])
    assert int(tracer.rng.count[...]) == 0


def test_a_saturable_double_tracer_cannot_jump():
    with pytest.raises(TypeError, match="cannot jump from event to event"):
        SaturableDoubleTracer(1, 5.0, 5.0).jump([1.0], [0], 5.0)

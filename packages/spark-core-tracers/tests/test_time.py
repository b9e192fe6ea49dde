"""Lengths of time, to their digits, and the steps that times fall in."""

import math
from fractions import Fraction

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from spark.core.tracers import Exponential, Tracer
from spark.core.tracers._time import as_event_steps, exact_number, steps_at

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


@pytest.mark.parametrize("decimal", [0.1, 0.7])
def test_multiples_of_a_rounded_time_step_fall_in_their_steps(decimal):
    dt, k = np.float32(decimal), np.arange(1, 20_001)
    # In float64, of the rounded time step and of the decimal that it stands for.
    for times in (k * float(dt), k * decimal):
        np.testing.assert_array_equal(steps_at(times, dt), k - 1)

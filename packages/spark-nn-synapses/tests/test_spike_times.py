"""Spikes from lists of times and neurons, and back."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.core.tracers import Tracer
from spark.nn.payloads import SpikeArray
from spark.nn.payloads import times as times_of_spikes

MASK = np.array([True, False, False])


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
def test_trains_larger_than_any_memory_are_refused(time, shape, dt):
    with pytest.raises(ValueError, match=r"steps of dt = .* Are the times in the unit of dt\?"):
        SpikeArray.from_times([], np.array([], int), shape, dt, duration=time)
    with pytest.raises(ValueError, match=r"steps of dt = |ids must lie in"):
        SpikeArray.from_times([time, dt], [0, 0], shape, dt)


def test_an_empty_recording_has_no_spikes():
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

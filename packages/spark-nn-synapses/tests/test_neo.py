"""Spike trains of Neo as arrays of spikes: units, where a recording begins and ends, and back."""

import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.nn.interchange import from_neo, to_neo
from spark.nn.payloads import SpikeArray

neo = pytest.importorskip("neo")


def train(times, units="ms", **limits):
    return neo.SpikeTrain(times, units=units, **{"t_stop": 5.0, **limits})


def steps(spikes):
    """Steps and neurons of the spikes."""
    return [tuple(map(int, each)) for each in np.argwhere(np.asarray(spikes.spikes))]


def test_units_are_converted():
    trains = [
        train([0.4, 3.0]),
        train([0.001, 0.0021], "s", t_stop=0.005),
        train([], "us", t_stop=5000.0),
    ]
    spikes = from_neo(trains)
    assert spikes.shape == (5, 3)
    assert spikes.dtype == bool
    assert steps(spikes) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert steps(from_neo(trains, dt=0.001, second=1.0)) == steps(spikes)
    assert from_neo(trains, dt=0.5).shape == (10, 3)


def test_steps_are_counted_from_the_start_of_the_recording():
    # No step ends at the very start; a spike there counts in the first.
    spikes = from_neo([train([-3.0, -1.0, 1.5], t_start=-3.0), train([5.0], t_start=-3.0)])
    assert spikes.shape == (8, 2)
    assert steps(spikes) == [(0, 0), (1, 0), (4, 0), (7, 1)]


def test_a_recording_ends_with_a_whole_step():
    assert from_neo([train([4.9], t_stop=5.2)], dt=2.0).shape == (3, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("units", "factor"), [("ms", 1.0), ("s", 1e-3), ("us", 1e3)])
def test_a_time_on_the_grid_stays_on_it_far_from_zero(dtype, units, factor):
    # ms; after an hour, times in float32 are 0.24 ms apart
    start, dt = 3.6e6 if dtype == np.float64 else 100.0, 0.1
    times = ((start + dt * np.arange(51)) * factor).astype(dtype)
    limits = {"t_start": times[0], "t_stop": times[-1]}
    found = from_neo([train(times[1:], units, **limits)], dt)
    assert found.shape == (50, 1)
    assert np.asarray(found.spikes).all()


@pytest.mark.parametrize("dtype", [*"bBhHiIlLqQ", "float16", "float32"])
def test_whole_times_of_every_dtype(dtype):
    found = from_neo([train(np.array([1, 2, 5], dtype)), train([0.001], "s", t_stop=0.005)])
    assert found.shape == (5, 2)
    assert steps(found) == [(0, 0), (0, 1), (1, 0), (4, 0)]
    late = train(np.array([11, 13], dtype), t_start=10, t_stop=14)
    assert steps(from_neo([late], dt=0.5)) == [(1, 0), (5, 0)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_ends_of_narrow_dtypes_are_read_to_their_digits(dtype):
    limits = {"t_start": dtype(0.3), "t_stop": dtype(0.7)}
    found = from_neo([train(np.array([0.4, 0.7], dtype), **limits), train([0.5], **limits)], 0.1)
    assert found.shape == (4, 2)
    assert steps(found) == [(0, 0), (1, 1), (3, 0)]


def test_products_of_float32_fill_every_step_once():
    times = np.arange(1, 60_001, dtype=np.float32) * np.float32(1e-3)
    found = from_neo([train(times, "s", t_stop=times[-1])], np.float32(1))
    assert found.shape == (60_000, 1)
    assert np.asarray(found.spikes).all()


@pytest.mark.parametrize("stop", [14.0, 13.0])
def test_steps_may_begin_with_their_sample(stop):
    samples = [train([10.0, 11.0, 13.0], t_start=10.0, t_stop=stop)]
    found = from_neo(samples, closed="left")
    assert found.shape == (4, 1)
    assert steps(found) == [(0, 0), (1, 0), (3, 0)]
    back = from_neo(to_neo(found, closed="left"), closed="left")
    np.testing.assert_array_equal(back.spikes, found.spikes)


def test_a_tolerance_takes_times_that_a_clock_has_added_up():
    times = np.cumsum(np.full(10_000, 0.1))
    found = from_neo([train(times, t_stop=times[-1])], 0.1, tolerance=0.01)
    assert found.shape == (10_000, 1)
    assert np.asarray(found.spikes).all()


@pytest.mark.parametrize("dt", [np.float32(0.7), jax.numpy.float32(0.1), np.float16(0.3)])
def test_trains_round_trip_with_a_narrow_dt(dt):
    spikes = np.random.default_rng(0).random((100_000, 1)) < 0.01
    trains = to_neo(SpikeArray(spikes), dt)
    np.testing.assert_array_equal(from_neo(trains, dt).spikes, spikes)


def test_a_segment_gives_all_its_trains():
    segment = neo.Segment()
    segment.spiketrains.extend([train([1.0]), train([2.0])])
    assert steps(from_neo(segment)) == [(0, 0), (1, 1)]


def test_mask_and_counts_come_along():
    trains = [train([1.2, 1.4]), train([3.0])]
    spikes = from_neo(trains, inhibition_mask=[False, True], graded=True)
    assert spikes.dtype == "float32"
    np.testing.assert_array_equal(spikes.value[1:3], [[2, 0], [0, -1]])


@settings(max_examples=30, deadline=None)
@given(
    cells=st.sets(st.tuples(st.integers(0, 19), st.integers(0, 2))),
    dt=st.sampled_from([1.0, 0.1, 1 / 3, 7]),
)
def test_trains_round_trip(cells, dt):
    spikes = np.zeros((20, 3), bool)
    spikes[tuple(np.array(sorted(cells), int).reshape(-1, 2).T)] = True
    trains = to_neo(SpikeArray(spikes), dt)
    assert len(trains) == 3
    np.testing.assert_array_equal(from_neo(trains, dt).spikes, spikes)


def test_counts_are_spikes_of_one_time():
    counts = SpikeArray(np.array([[2, 0], [0, 1]]))
    trains = to_neo(counts)
    np.testing.assert_array_equal(trains[0].rescale("ms").magnitude, [1.0, 1.0])
    np.testing.assert_array_equal(from_neo(trains, graded=True).spikes, counts.spikes)


def test_populations_are_written_in_row_major_order():
    spikes = np.zeros((2, 2, 3), bool)
    spikes[1, 1, 0] = True
    assert [len(each) for each in to_neo(SpikeArray(spikes))] == [0, 0, 0, 1, 0, 0]
    assert to_neo(SpikeArray(np.zeros((2, 0), bool))) == []


REFUSED = [
    (lambda: from_neo([]), ValueError, "one spike train or more, got none"),
    (lambda: from_neo(train([1.0])), TypeError, "must be spike trains of Neo, several"),
    (lambda: from_neo([[1.0, 2.0]]), TypeError, "must be spike trains of Neo"),
    (
        lambda: from_neo([train([]), train([], t_stop=6.0)]),
        ValueError,
        "must share t_stop, got 0.005 s and 0.006 s; cut them by time_slice",
    ),
    (
        lambda: from_neo([train([]), train([], t_start=1.0)]),
        ValueError,
        "must share t_start, got 0 s and 0.001 s",
    ),
    (lambda: from_neo([train([1.2, 1.4])]), ValueError, "2 spikes of neuron 0 fall in step 1"),
    (
        lambda: from_neo([train([1.0, 2.0], t_start=1.0)]),
        ValueError,
        "one lies at the very start: give closed='left' for sampled data",
    ),
    (
        lambda: from_neo([train([1e9], "s", t_stop=1e9)]),
        ValueError,
        r"1e\+12 steps of dt = 1, up to a time of 1e\+12, by 1 neurons",
    ),
    (lambda: from_neo([train([])], tolerance=-1), ValueError, "tolerance must lie in"),
    (lambda: from_neo([train([])], closed="both"), ValueError, "closed must be one of"),
    (lambda: to_neo(SpikeArray([True]), closed="both"), ValueError, "closed must be one of"),
    (lambda: from_neo([train([])], dt=0), ValueError, "dt must be finite and > 0, got 0"),
    (lambda: from_neo([train([])], second=-1), ValueError, "second must be finite and > 0"),
    (lambda: from_neo([train([np.nan])]), ValueError, "times of neuron 0 must be finite, got nan"),
    (lambda: to_neo(np.ones((2, 2), bool)), TypeError, "must be a SpikeArray, got ndarray"),
    (lambda: to_neo(SpikeArray([0.5])), ValueError, "booleans or counts"),
    (
        lambda: jax.jit(to_neo)(SpikeArray(np.ones((2, 2), bool))),
        TypeError,
        "spikes must be concrete",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(ImportError, match=r"to_neo needs neo: .* 'spark-nn-synapses\[neo\]'"):
        to_neo(SpikeArray(np.ones((2, 2), bool)))

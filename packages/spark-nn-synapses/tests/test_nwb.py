"""Units of NWB files as arrays of spikes: from a table like theirs, and from a file."""

from datetime import UTC, datetime

import numpy as np
import pytest

from spark.nn.interchange import from_nwb
from spark.nn.payloads import SpikeArray

TRAINS = [[0.0004, 0.0021], [], [0.0, 0.003]]
TABLE = {"spike_times": TRAINS}
EXPECTED = [[1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_a_row_is_a_neuron():
    spikes = from_nwb(TABLE)
    assert isinstance(spikes, SpikeArray)
    np.testing.assert_array_equal(spikes.spikes, EXPECTED)
    np.testing.assert_array_equal(from_nwb(TABLE, dt=0.001, second=1.0).spikes, EXPECTED)


def test_an_interval_is_cut_out():
    table = {"spike_times": [[0.9, 1.0, 1.0005, 1.25, 1.3], [1.1]]}
    spikes = from_nwb(table, dt=0.5, interval=(1.0, 1.25), graded=True)
    assert spikes.shape == (500, 2)
    np.testing.assert_array_equal(
        np.argwhere(np.asarray(spikes.value)), [[0, 0], [199, 1], [499, 0]]
    )
    # At the very start, and half a millisecond after it.
    assert spikes.value[0, 0] == 2


def test_an_interval_far_from_zero_has_as_many_steps():
    for start in (1234.1, 5e4 + 0.7):
        assert from_nwb(TABLE, dt=0.1, interval=(start, start + 0.1)).shape == (1000, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ends_of_an_interval_are_taken_to_the_digits_of_the_times(dtype):
    times = np.array([0.1, 0.1 + 0.2]).astype(dtype)
    for ends in ((0.1, 0.3), (np.float32(0.1), np.float32(0.3))):
        spikes = from_nwb({"spike_times": [times]}, interval=ends)
        assert spikes.shape == (200, 1)
        assert np.flatnonzero(spikes.spikes).tolist() == [0, 199]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("closed", "first"), [("right", 2), ("left", 1)])
def test_slices_hold_every_spike(dtype, closed, first):
    # A spike a millisecond in 100 slices. Where both ends of a slice belong to it, its first step
    # holds the spike at its start as well.
    times = np.concatenate([np.arange(70_001) / 1000, 70 + np.array([0.001])]).astype(dtype)
    expected = np.ones(700)
    expected[0] = first
    for k in range(100):
        slice_ = (k * 0.7, (k + 1) * 0.7)
        spikes = from_nwb({"spike_times": [times]}, interval=slice_, graded=True, closed=closed)
        np.testing.assert_array_equal(np.asarray(spikes.spikes)[:, 0], expected)


def test_a_slice_may_end_within_a_step():
    table = {"spike_times": [np.array([0.0025, 0.00251, 0.0049], np.float32)]}
    for closed, first, second in (("right", [2], [0, 2]), ("left", [], [0, 2])):
        early, late = (
            from_nwb(table, interval=ends, graded=True, closed=closed).spikes
            for ends in ((0, 0.0025), (0.0025, 0.005))
        )
        assert early.shape == late.shape == (3, 1)
        assert np.flatnonzero(early).tolist() == first
        assert np.flatnonzero(late).tolist() == second


def test_products_of_float32_fill_every_step_once():
    times = np.arange(1, 60_001, dtype=np.float32) * np.float32(1e-3)
    in_seconds = {"dt": np.float32(1e-3), "second": np.float32(1)}
    for options in ({}, in_seconds, {"interval": (0, times[-1])}):
        spikes = from_nwb({"spike_times": [times]}, **options)
        assert spikes.shape == (60_000, 1)
        assert np.asarray(spikes.spikes).all()


@pytest.mark.parametrize("dtype", "bBhHiIlLqQ")
def test_whole_times_of_every_dtype(dtype):
    table = {"spike_times": [np.array([1, 2, 5], dtype), np.array([0.004])]}
    spikes = np.asarray(from_nwb(table, second=1.0).spikes)
    assert np.argwhere(spikes).tolist() == [[0, 0], [0, 1], [1, 0], [4, 0]]


def test_each_train_has_digits_of_its_own():
    # 0.1 us after a step ends is no rounding of float64, whatever dtype another train has.
    exact, coarse = np.array([1.0000001]), np.array([1.0], np.float16)
    spikes = from_nwb({"spike_times": [exact, coarse]})
    assert np.argwhere(np.asarray(spikes.spikes)).tolist() == [[999, 1], [1000, 0]]


def test_steps_may_begin_with_their_sample():
    samples = np.arange(3) / 1000
    spikes = from_nwb({"spike_times": [samples, samples[:1]]}, closed="left")
    np.testing.assert_array_equal(spikes.spikes, [[1, 1], [1, 0], [1, 0]])
    assert from_nwb({"spike_times": [samples]}, interval=(0, 0.002), closed="left").shape == (2, 1)


def test_a_tolerance_takes_times_that_a_clock_has_added_up():
    times = np.cumsum(np.full(10_000, 1e-4))
    spikes = from_nwb({"spike_times": [times]}, dt=0.1, tolerance=0.01)
    assert spikes.shape == (10_000, 1)
    assert np.asarray(spikes.spikes).all()


def test_single_precision_is_read_to_its_digits():
    times = (np.arange(1, 51) / 1000).astype(np.float32)
    assert np.asarray(from_nwb({"spike_times": [times]}).spikes).all()


def test_mask_comes_along():
    spikes = from_nwb(TABLE, inhibition_mask=[True, False, False])
    np.testing.assert_array_equal(spikes.value, np.array(EXPECTED) * [-1, 1, 1])


def test_an_empty_recording_has_no_spikes():
    assert from_nwb({"spike_times": [[], []]}, interval=(0, 0.01)).shape == (10, 2)
    assert from_nwb({"spike_times": []}).shape == (0, 0)


REFUSED = [
    (None, {}, TypeError, "a column spike_times, such as nwbfile.units, got NoneType"),
    ({"quality": []}, {}, TypeError, "a table with a column spike_times, .* got dict"),
    (
        {"spike_times": [["a"]]},
        {},
        TypeError,
        "times of neuron 0 must be boolean, integer or floating, got",
    ),
    ({"spike_times": [[], [1.0, np.inf]]}, {}, ValueError, "of neuron 1 must be finite, got inf"),
    (
        {"spike_times": [[1.0], [-0.25]]},
        {},
        ValueError,
        "before the start at 0 s, got one of neuron 1 0.25 s before it",
    ),
    (
        {"spike_times": [[1.0], [np.nan, 1.0]]},
        {"interval": (0, 2)},
        ValueError,
        "spike times of neuron 1 must be finite, got nan",
    ),
    (
        {"spike_times": [[9.0, -np.inf]]},
        {"interval": (0, 2)},
        ValueError,
        "spike times of neuron 0 must be finite, got -inf",
    ),
    (
        {"spike_times": [[0.0, 0.001]]},
        {},
        ValueError,
        "2 spikes of neuron 0 fall in step 0, .* one lies at the very start: give closed='left'",
    ),
    (
        {"spike_times": [[0.0004, 0.0006]]},
        {},
        ValueError,
        "2 spikes of neuron 0 fall in step 0, which ends at 1; choose a dt shorter than 1",
    ),
    ({"spike_times": [[3e9]]}, {}, ValueError, r"3e\+12 steps of dt = 1, .* by 1 neurons"),
    (TABLE, {"interval": (0, 1e300)}, ValueError, r"1e\+303 steps"),
    (TABLE, {"interval": (0, np.inf)}, ValueError, "interval must be finite"),
    (TABLE, {"interval": (np.nan, 1)}, ValueError, "interval must be finite"),
    (TABLE, {"interval": ("a", 1)}, TypeError, "interval must be a number, got 'a'"),
    (TABLE, {"tolerance": 0.5}, ValueError, "tolerance must lie in"),
    (TABLE, {"closed": "both"}, ValueError, "closed must be one of"),
    (TABLE, {"interval": (1.0, 1.0)}, ValueError, r"to a later stop, got \(1.0, 1.0\)"),
    (TABLE, {"dt": 5.0}, ValueError, "2 spikes of neuron 0 fall in step 0"),
]


@pytest.mark.parametrize(("units", "options", "error", "message"), REFUSED)
def test_bad_input_is_refused(units, options, error, message):
    with pytest.raises(error, match=message):
        from_nwb(units, **options)


def test_a_file_is_read(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    written = pynwb.NWBFile("an example", "example", datetime(2020, 1, 1, tzinfo=UTC))
    written.add_unit_column("quality", "of the sorting")
    for train, quality in zip(TRAINS, ("good", "poor", "good"), strict=True):
        written.add_unit(spike_times=train, quality=quality)
    with pynwb.NWBHDF5IO(tmp_path / "spikes.nwb", "w") as io:
        io.write(written)
    with pynwb.NWBHDF5IO(tmp_path / "spikes.nwb", "r") as io:
        units = io.read().units
        np.testing.assert_array_equal(from_nwb(units).spikes, EXPECTED)
        good = from_nwb(units.to_dataframe().query("quality == 'good'"))
    np.testing.assert_array_equal(good.spikes, np.array(EXPECTED)[:, [0, 2]])

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


def test_single_precision_is_read_to_its_digits():
    times = (np.arange(1, 51) / 1000).astype(np.float32)
    assert np.asarray(from_nwb({"spike_times": [times]}).spikes).all()


def test_mask_comes_along():
    spikes = from_nwb(TABLE, inhibition_mask=[True, False, False])
    np.testing.assert_array_equal(spikes.value, np.array(EXPECTED) * [-1, 1, 1])


def test_nothing_recorded_is_no_spike():
    assert from_nwb({"spike_times": [[], []]}, interval=(0, 0.01)).shape == (10, 2)
    assert from_nwb({"spike_times": []}).shape == (0, 0)


REFUSED = [
    (None, {}, TypeError, "a column spike_times, such as nwbfile.units, got NoneType"),
    ({"quality": []}, {}, TypeError, "a table with a column spike_times, .* got dict"),
    ({"spike_times": [["a"]]}, {}, TypeError, "times of neuron 0 must be numbers in a row"),
    ({"spike_times": [[], [1.0, np.inf]]}, {}, ValueError, "of neuron 1 must be finite, got inf"),
    (
        {"spike_times": [[1.0], [-0.25]]},
        {},
        ValueError,
        "before the start at 0 s, got one of neuron 1 0.25 s before it",
    ),
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

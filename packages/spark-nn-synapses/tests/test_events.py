"""Inputs that spike, found by their rank: against NumPy."""

import jax
import numpy as np
import pytest

from spark.nn.components.synapses.events import Events, active

from .kinds import spikes


@jax.jit
def found(active, ranks):
    events = Events.of(active)
    return events.number, events.find(ranks)


# Around a word of 32; and more than 64 words, which are searched by halves.
@pytest.mark.parametrize("inputs", [1, 31, 32, 33, 70, 2049 + 32])
def test_spikes_are_found_by_their_rank(inputs):
    ranks = np.arange(inputs + 5, dtype=np.int32)
    for rate in (0.0, 0.1, 0.5, 1.0):
        xs = spikes(inputs, inputs, rate)
        number, which = found(xs, ranks)
        assert number == xs.sum()
        # Words hold inputs in another order than that of their numbers.
        assert sorted(which[: int(number)].tolist()) == np.flatnonzero(xs).tolist()
        # Beyond the last spike, any input that there is.
        assert np.all((np.asarray(which) >= 0) & (np.asarray(which) < inputs))


def test_a_graded_spike_of_any_sign_is_one_and_0_is_none():
    graded = np.array([0.5, -2.0, np.nan, -0.0, 0.0])
    assert active(graded).tolist() == [True, True, True, False, False]
    assert active(np.array([True, False])).tolist() == [True, False]

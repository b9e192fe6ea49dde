"""Statistics of spikes have the values that are known of regular and of Poisson trains."""

import math

import numpy as np
import pytest

from spark.bench.networks.spikes import Spikes
from spark.bench.networks.statistics import (
    Statistics,
    coefficients_of_variation,
    in_spread,
    of_population,
    rates,
    silent_from,
    statistics,
)


def regular(neurons=20, every=50, steps=10_000, dt=0.5):
    """Each neuron spikes at equal intervals, one step after the neuron before."""
    step = np.arange(steps)
    fired = step[:, None] % every == np.arange(neurons)[None] % every
    found, neuron = np.nonzero(fired)
    return Spikes(found, neuron, steps, neurons, dt)


def poisson(neurons=200, rate=0.005, steps=50_000, dt=0.5):
    """Each neuron spikes at each step with one probability."""
    step, neuron = np.nonzero(np.random.default_rng(0).random((steps, neurons)) < rate)
    return Spikes(step, neuron, steps, neurons, dt)


def test_regular_trains_have_no_variation():
    found = of_population(regular())
    assert found.rate == 40.0  # per second: every 25 ms
    assert found.cv == 0


def test_neurons_that_spike_at_once_are_synchronous():
    together = Spikes(
        np.repeat(np.arange(0, 1000, 100), 50), np.tile(np.arange(50), 10), 1000, 50, 0.5
    )
    # Ten of 166 bins hold 50 spikes: variance over mean is 50 (1 - 10/166).
    assert of_population(together).synchrony == pytest.approx(50 * (1 - 10 / 166))


def test_poisson_trains_have_the_statistics_of_their_law():
    rate = 0.005
    spikes = poisson(rate=rate)
    found = of_population(spikes)
    # Five standard deviations of 50 000 spikes, of 200 coefficients from 250 intervals each, and of
    # 8 333 bins. Intervals are geometric: their coefficient is sqrt(1 - rate).
    assert found.rate == pytest.approx(2000 * rate, rel=5 / math.sqrt(50_000))
    assert found.cv == pytest.approx(math.sqrt(1 - rate), abs=0.02)
    assert found.synchrony == pytest.approx(1 - rate, abs=5 * math.sqrt(2 / 8333))
    assert rates(spikes).mean() == pytest.approx(found.rate)


def test_the_coefficient_is_that_of_the_intervals_of_one_neuron():
    spikes = Spikes(np.array([0, 5, 10, 30, 31]), np.array([0, 1, 0, 0, 0]), 50, 2, 1.0)
    intervals = np.array([10, 20, 1])
    (found,) = coefficients_of_variation(spikes)  # neuron 1 has no interval
    assert found == pytest.approx(intervals.std() / intervals.mean())


def test_a_silent_population_has_a_rate_and_nothing_else():
    empty = np.empty(0, int)
    found = of_population(Spikes(empty, empty, 100, 3, 1.0))
    assert found.rate == 0
    assert math.isnan(found.cv)
    assert math.isnan(found.synchrony)


def test_activity_that_ends_is_told():
    def ending(step):
        return Spikes(np.array([0, step]), np.array([0, 0]), 1000, 1, 0.5)

    assert silent_from(ending(899)) == 450.0
    assert silent_from(ending(900)) is None
    assert silent_from(Spikes(np.empty(0, int), np.empty(0, int), 1000, 1, 0.5)) == 0.0


def test_the_transient_is_left_out():
    spikes = Spikes(np.array([100, 700, 800]), np.array([0, 0, 1]), 1000, 2, 1.0)
    found = statistics(spikes, {"a": range(1), "b": range(1, 2)})
    assert isinstance(found["a"], Statistics)
    assert (found["a"].rate, found["b"].rate) == (2.0, 2.0)


def test_a_prediction_interval_leaves_out_as_many_as_it_says():
    draw = np.random.default_rng(0)
    inside = [in_spread(draw.normal(), draw.normal(size=10), 0.1) for _ in range(4000)]
    # Five standard deviations of a binomial share.
    assert np.mean(inside) == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 4000))
    assert in_spread(math.nan, [math.nan, 1.0], 0.1)
    assert not in_spread(math.nan, [0.0, 1.0], 0.1)

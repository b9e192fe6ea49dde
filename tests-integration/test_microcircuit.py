"""The microcircuit has the statistics that it has in NEST: a tenth is run, the whole was once."""

import json
from pathlib import Path

import pytest

from spark.bench.networks import microcircuit, simulate, statistics
from spark.bench.networks.record import by_simulator
from spark.bench.networks.statistics import in_spread

from .references import microcircuit as reference

RECORDED = json.loads(reference.FILE.read_text())
FULL = Path(__file__).parents[1] / "docs/benchmarks/microcircuit-seeds.json"
CHANCE = 1e-6
"""That a correct program lies outside of the prediction interval of a statistic."""


@pytest.fixture(scope="module", params=["float32", "float16"])
def found(request):
    """Statistics with weights of a dtype."""
    network = microcircuit(reference.SCALE)
    run = simulate(network, reference.SECONDS, kernel_dtype=request.param)
    return statistics(run.spikes, network.ranges)


def test_the_network_has_as_many_connections():
    # NEST counts those of external spikes and of recorders too: two of each neuron.
    network = microcircuit(reference.SCALE)
    assert RECORDED["connections"] == network.connections + 2 * network.size


@pytest.mark.parametrize("statistic", ["rate", "cv", "synchrony"])
@pytest.mark.parametrize("population", list(RECORDED["populations"]))
def test_statistics_are_those_of_ten_seeds_of_nest(found, population, statistic):
    value = getattr(found[population], statistic)
    seeds = RECORDED["populations"][population][statistic]
    assert in_spread(value, seeds, CHANCE), (value, seeds)


def test_the_interval_would_tell_another_rate(found):
    for population in RECORDED["populations"]:
        seeds = RECORDED["populations"][population]["rate"]
        assert not in_spread(2 * found[population].rate, seeds, CHANCE)


@pytest.mark.parametrize("statistic", ["rate", "cv", "synchrony"])
@pytest.mark.parametrize("place", range(8))
def test_seeds_at_full_scale_are_those_of_ten_seeds_of_nest(place, statistic):
    def seeds(records):
        return [each["populations"][place][statistic] for each in records]

    records = json.loads(FULL.read_text())
    ours, nest = by_simulator(records).values()
    assert len(ours) == len(nest) == 10
    assert {each["connections"] - 2 * each["neurons"] for each in nest} == {ours[0]["connections"]}
    for value in seeds(ours):
        assert in_spread(value, seeds(nest), CHANCE), (value, seeds(nest))

"""Options of networks: how COBA starts, connections that depress, several devices."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from spark.bench.backends import variables
from spark.bench.networks import (
    Block,
    Network,
    Neuron,
    Population,
    named,
    published,
    simulate,
)
from spark.bench.networks.catalog import DEPRESSION
from spark.bench.networks.statistics import silent_from

NEURON = Neuron("iaf_psc_exp", 250.0, 10.0, -65.0, -50.0, -62.0, 2.0, 0.5, 5.0)


def test_coba_goes_on_from_its_initial_conductances():
    for seed in range(3):
        spikes = simulate(named("coba"), 0.1, seed).spikes
        assert silent_from(spikes) is None
        # Starting takes 50 ms; of 14 seeds here and in other simulators it was 17 to 23 per second.
        assert 10 < len(spikes.of(range(4000), 50.0)) / (4000 * 0.05) < 30


def test_a_rested_connection_that_depresses_has_its_weight():
    plain, depressing = named("cuba"), named("cuba", plasticity=True)
    assert plain.plasticity is None
    assert published(named("microcircuit", plasticity=True)) == {}
    for without, with_it in zip(plain.blocks, depressing.blocks, strict=True):
        assert with_it.weight * depressing.plasticity.U == pytest.approx(without.weight)
    with pytest.raises(ValueError, match="plasticity"):
        named("brunel-AI", plasticity=True)


def test_connections_depress_as_their_equations_say(x64):
    dt, weight, delay = 0.1, 100.0, 1.5
    kinds = tuple(Population(name, 1, True, ("uniform", -65.0, -65.0)) for name in "ab")
    blocks = (Block("a", "b", "fixed_indegree", 1, weight, delay=delay),)
    network = Network("pair", kinds, blocks, NEURON, dt, "none", plasticity=DEPRESSION)
    v, current = np.full(2, NEURON.E_L), np.array([450.0, 0.0])
    run = simulate(network, 0.2, dtype="float64", kernel_dtype="float64", v=v, current=current)
    assert set(run.spikes.neuron) == {0}
    times = run.spikes.times
    assert len(times) > 8

    used, resources, last, expected = 0.0, 1.0, times[0], 0.0
    tau_s, tau_m = NEURON.tau_syn_ex, NEURON.tau_m
    for time in times:
        used *= np.exp((last - time) / DEPRESSION.tau_fac)
        resources = 1 - (1 - resources) * np.exp((last - time) / DEPRESSION.tau_rec)
        used += DEPRESSION.U * (1 - used)
        released, last = used * resources, time
        resources -= released
        if (since := 200.0 - time - delay) > 0:
            rise = np.exp(-since / tau_s) - np.exp(-since / tau_m)
            gain = tau_s * tau_m / (tau_s - tau_m) / NEURON.C_m
            expected += weight * released * gain * rise
    # Rounding of some ten sums a step; a part of 0.5 is exact.
    assert run.v[1] - NEURON.E_L == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    ("model", "weight", "after"), [("iaf_psc_delta", 30.0, 15), ("iaf_psc_exp", 5e4, 16)]
)
def test_a_spike_arrives_a_delay_later(model, weight, after):
    # As in NEST: a jump shifts the potential at its arrival, a current charges it from then on.
    kinds = tuple(Population(name, 1, True, ("uniform", -65.0, -65.0)) for name in "ab")
    blocks = (Block("a", "b", "fixed_indegree", 1, weight, delay=1.5),)
    neuron = dataclasses.replace(NEURON, model=model)
    network = Network("pair", kinds, blocks, neuron, 0.1, "none")
    spikes = simulate(network, 0.1, current=np.array([450.0, 0.0])).spikes
    sent, received = (spikes.step[spikes.neuron == each] for each in (0, 1))
    assert len(sent) > 2
    np.testing.assert_array_equal(received, sent[: len(received)] + after)


def test_two_devices_give_the_spikes_of_one(tmp_path):
    program = """
import json, sys
import numpy as np
from typer.testing import CliRunner
from spark.bench.cli import app
from spark.bench.networks import named, simulate

options = ["--scale=0.05", "--seconds=0.05", "--devices=2", "--json", sys.argv[1]]
assert CliRunner().invoke(app, ["network", "coba", *options]).exit_code == 0
for name, scale, plasticity in (
    ("microcircuit", 0.04, True), ("brunel-AI", 0.02, False), ("coba", 0.0511, False)
):
    network = named(name, scale, plasticity=plasticity)
    runs = [simulate(network, 0.1, devices=devices) for devices in (1, 2)]
    assert len({(run.connections, run.events) for run in runs}) == 1
    one, two = (run.spikes for run in runs)
    assert len(one) > 10
    assert network.size % 2 or name == "brunel-AI"
    np.testing.assert_array_equal(one.step, two.step)
    np.testing.assert_array_equal(one.neuron, two.neuron)
"""
    path = tmp_path / "coba.json"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env=variables(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(path.read_text())
    assert record["devices"] == 2


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(ValueError, match="devices must be at most"):
        simulate(named("cuba", 0.02), 0.01, devices=1000)

"""A network spikes as it does in NEST and Brian2, spike for spike, for a second of its time."""

import json

import numpy as np
import pytest

from spark.bench.networks.network import Network, Neuron, Population
from spark.bench.networks.simulate import simulate
from spark.nn.components.synapses import InputSpec, SparseConnectivity, TracedSynapses

from .references import spike_for_spike as reference

EXCITATORY = np.arange(reference.NEURONS) < reference.EXCITATORY


@pytest.fixture(scope="module")
def network():
    return reference.network()


@pytest.fixture(scope="module", params=["nest", "brian2"])
def recorded(request):
    with np.load(reference.file(request.param)) as file:
        return dict(file)


def run(network, dtype):
    """Our run of the network."""
    neuron = Neuron("iaf_psc_exp", **reference.NEURON)
    population = Population("all", reference.NEURONS, True, ("uniform", 0.0, 0.0))
    described = Network("edges", (population,), (), neuron, reference.DT, "this test")
    synapses = TracedSynapses(
        units=reference.NEURONS,
        connectivity=SparseConnectivity(
            pre=network["pre"],
            post=network["post"],
            weights=network["weight"],
            delays=reference.DT * network["delay"],
        ),
        tau=np.where(EXCITATORY, neuron.tau_syn_ex, neuron.tau_syn_in)[None],
        dt=reference.DT,
        dtype=dtype,
    )
    synapses.build({"spikes": InputSpec((reference.NEURONS,))})
    seconds = reference.DT * reference.STEPS / 1000
    own = {"synapses": synapses, "v": network["V_m"], "current": network["I_e"]}
    return simulate(described, seconds, dtype=dtype, **own)


def test_the_network_is_the_one_that_was_recorded(network, recorded):
    assert reference.checksum(network) == json.loads(str(recorded["about"]))["network"]


def test_the_network_is_active_and_delays_are_long(network, recorded):
    counts = np.bincount(recorded["neuron"], minlength=reference.NEURONS)
    assert counts.mean() > 5  # per second
    assert (counts > 0).mean() > 0.8
    assert network["delay"].max() * reference.DT == 2 * reference.NEURON["tau_m"]


def test_spikes_in_float64_are_those_of_others_for_a_second(network, recorded, x64):
    found = run(network, "float64")
    np.testing.assert_array_equal(found.spikes.step, recorded["step"])
    np.testing.assert_array_equal(found.spikes.neuron, recorded["neuron"])
    # Rounding alone: some ten sums of numbers up to 65, each to 1.4e-14, whose errors decay.
    np.testing.assert_allclose(found.v, recorded["V_m"], rtol=0, atol=1e-11)


def test_spikes_in_float32_are_those_of_others_at_first(network, recorded):
    found = run(network, "float32").spikes
    same = min(len(found), len(recorded["step"]))
    other = (found.step[:same] != recorded["step"][:same]) | (
        found.neuron[:same] != recorded["neuron"][:same]
    )
    first = found.step[np.argmax(other)] if other.any() else reference.STEPS
    assert first * reference.DT > 50  # 632 ms where this was written
    # After that it is another sample of the same activity.
    assert abs(len(found) / len(recorded["step"]) - 1) < 0.05

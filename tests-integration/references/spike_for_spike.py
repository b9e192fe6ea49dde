"""A network of 1000 neurons as numbers, and the spikes that NEST gives it.

Run by the Python of an environment with NEST, `python spike_for_spike.py`, it writes
`spike_for_spike.npz` beside itself. Imported, it needs NumPy alone.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".npz")
NEURONS, EXCITATORY, DENSITY = 1000, 800, 0.1
DT, STEPS, SEED = 0.1, 10_000, 20_140_801
LONGEST = 200
"""Longest delay, in steps: two time constants of the membrane."""

NEURON = {
    "C_m": 250.0,
    "tau_m": 10.0,
    "E_L": -65.0,
    "V_th": -50.0,
    "V_reset": -62.0,
    "t_ref": 2.0,
    "tau_syn_ex": 2.0,
    "tau_syn_in": 5.0,
}


def network():
    """Edges, potentials and currents; the stream of `RandomState` is the same in every NumPy.

    Returns:
        Arrays by name: `pre`, `post`, `weight` (pA) and `delay` (steps) of each connection;
        `V_m` (mV) at the start and `I_e` (pA) of each neuron.
    """
    draw = np.random.RandomState(SEED)
    pre, post = np.nonzero(draw.random_sample((NEURONS, NEURONS)) < DENSITY)
    size = draw.random_sample(len(pre))
    return {
        "pre": pre,
        "post": post,
        "weight": np.where(pre < EXCITATORY, 30 + 30 * size, -120 - 120 * size),
        "delay": draw.randint(1, LONGEST + 1, len(pre)),
        "V_m": -65 + 15 * draw.random_sample(NEURONS),
        "I_e": 350 + 100 * draw.random_sample(NEURONS),
    }


def checksum(arrays):
    """Says that two processes drew the same."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()


def record():
    """Run the network in NEST, and write its spikes and its potentials at the end."""
    import nest

    made = network()
    nest.ResetKernel()
    nest.resolution = DT
    neurons = nest.Create("iaf_psc_exp", NEURONS, NEURON)
    neurons.set(V_m=made["V_m"], I_e=made["I_e"])
    ids = np.asarray(neurons)
    nest.Connect(
        ids[made["pre"]],
        ids[made["post"]],
        "one_to_one",
        {
            "synapse_model": "static_synapse",
            "weight": made["weight"],
            "delay": DT * made["delay"],
        },
    )
    recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
    nest.Connect(neurons, recorder)
    # The last spikes are handed over later.
    nest.Simulate(DT * STEPS)
    v = neurons.V_m
    nest.Simulate(DT * LONGEST)
    spikes = recorder.events
    steps = np.asarray(spikes["times"]) - 1
    order = np.lexsort((spikes["senders"], steps))
    order = order[steps[order] < STEPS]
    about = {
        "nest": nest.__version__,
        "numpy": np.__version__,
        "model": "iaf_psc_exp, static_synapse",
        "seed": SEED,
        "network": checksum(made),
    }
    np.savez_compressed(
        FILE,
        step=steps[order].astype(np.uint16),
        neuron=(np.asarray(spikes["senders"])[order] - ids[0]).astype(np.uint16),
        V_m=np.asarray(v),
        about=json.dumps(about),
    )


if __name__ == "__main__":
    record()

"""A network of 1000 neurons as numbers, and the spikes that NEST and Brian2 give it.

Run by the Python of an environment with NEST, `python spike_for_spike.py nest`, it writes
`spike_for_spike_nest.npz` beside itself; with `brian2` likewise. Imported, it needs NumPy alone.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

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


def file(simulator):
    """Where the spikes are that a simulator gave."""
    return Path(__file__).with_name(f"spike_for_spike_{simulator}.npz")


def nest(made):
    """Run the network in NEST."""
    import nest

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
    about = {"nest": nest.__version__, "model": "iaf_psc_exp, static_synapse"}
    return np.asarray(spikes["times"]) - 1, np.asarray(spikes["senders"]) - ids[0], v, about


def brian2(made):
    """Run the network in Brian2."""
    import brian2 as b

    b.prefs.codegen.target = "numpy"
    b.defaultclock.dt = DT * b.ms
    neurons = b.NeuronGroup(
        NEURONS,
        """
        dv/dt = ((E_L - v) / tau_m + (ex + in_ + I_e) / C_m) / ms : 1 (unless refractory)
        dex/dt = -ex / (tau_syn_ex * ms) : 1
        din_/dt = -in_ / (tau_syn_in * ms) : 1
        I_e : 1
        """,
        threshold="v >= V_th",
        reset="v = V_reset",
        # Of the steps for which Brian2 holds a potential, the first is that of the spike itself.
        refractory=(NEURON["t_ref"] + DT) * b.ms,
        method="exact",
        namespace=NEURON,
    )
    neurons.v, neurons.I_e = made["V_m"], made["I_e"]
    parts = []
    for onto, kept in (("ex", made["pre"] < EXCITATORY), ("in_", made["pre"] >= EXCITATORY)):
        part = b.Synapses(neurons, neurons, "w : 1", on_pre=f"{onto}_post += w")
        part.connect(i=made["pre"][kept], j=made["post"][kept])
        part.w = made["weight"][kept]
        part.delay = DT * made["delay"][kept] * b.ms
        parts.append(part)
    spikes = b.SpikeMonitor(neurons)
    b.Network(neurons, spikes, parts).run(DT * STEPS * b.ms)
    about = {"brian2": b.__version__, "model": "exact, numpy target"}
    # The step in which a potential reaches the threshold has the time at its start.
    return np.rint(np.asarray(spikes.t / b.ms) / DT), np.asarray(spikes.i), neurons.v[:], about


def record(simulator):
    """Run the network, and write its spikes and its potentials at the end."""
    made = network()
    steps, senders, v, about = {"nest": nest, "brian2": brian2}[simulator](made)
    order = np.lexsort((senders, steps))
    order = order[steps[order] < STEPS]
    about |= {"numpy": np.__version__, "seed": SEED, "network": checksum(made)}
    np.savez_compressed(
        file(simulator),
        step=steps[order].astype(np.uint16),
        neuron=senders[order].astype(np.uint16),
        V_m=np.asarray(v),
        about=json.dumps(about),
    )


if __name__ == "__main__":
    record(*sys.argv[1:])

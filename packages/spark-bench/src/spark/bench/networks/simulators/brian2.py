"""Brian2: runs a network that a JSON file describes as a C++ program, and writes its spikes.

Run by path, by the Python of an environment with Brian2: `python brian2.py network.json out.npz`.
The file holds the network as `Network.to_dict` gives it, and `seconds`, `seed` and `threads`.
Networks whose connections are drawn pair by pair, or as many for each target, all of one block
with one weight and one delay: CUBA, COBA and those of Brunel.
"""

import json
import sys
import time
from pathlib import Path

# By path, this folder is the first where modules are looked for, and holds one called brian2.
sys.path.pop(0)

import brian2 as b
import numpy as np

CURRENTS = """
dv/dt = ((E_L - v) / tau_m + (g_ex + g_in + I_e) / C_m) / ms : 1 (unless refractory)
dg_ex/dt = -g_ex / (tau_syn_ex * ms) : 1
dg_in/dt = -g_in / (tau_syn_in * ms) : 1
I_e : 1
"""

CONDUCTANCES = """
dv/dt = ((E_L - v) / tau_m + (g_ex * (E_ex - v) + g_in * (E_in - v) + I_e) / C_m) / ms
    : 1 (unless refractory)
dg_ex/dt = -g_ex / (tau_syn_ex * ms) : 1
dg_in/dt = -g_in / (tau_syn_in * ms) : 1
I_e : 1
"""

JUMPS = """
dv/dt = ((E_L - v) / tau_m + I_e / C_m) / ms : 1 (unless refractory)
I_e : 1
"""

MODELS = {
    "iaf_psc_exp": (CURRENTS, "exact"),
    "iaf_cond_exp": (CONDUCTANCES, "exponential_euler"),
    "iaf_psc_delta": (JUMPS, "exact"),
}
"""Equations in ms, mV, pA, pF and nS, and how they are integrated."""


def main(description, output):
    """Build, compile, run, and write steps and neurons of spikes, times and memory."""
    asked = json.loads(Path(description).read_text())
    network = asked["network"]
    neuron, dt = dict(network["neuron"]), network["dt"]
    model = neuron.pop("model")
    equations, method = MODELS[model]
    jumps = model == "iaf_psc_delta"  # of the potential, and of none that is refractory

    if network["plasticity"] is not None:
        raise NotImplementedError("short-term plasticity is not written for Brian2")

    start = time.perf_counter()
    b.set_device("cpp_standalone", build_on_run=False, directory="brian2")
    # One thread is a program without OpenMP.
    b.prefs.devices.cpp_standalone.openmp_threads = asked["threads"] * (asked["threads"] > 1)
    b.defaultclock.dt = dt * b.ms
    b.seed(asked["seed"])
    size = sum(each["size"] for each in network["populations"])
    group = b.NeuronGroup(
        size,
        equations,
        threshold="v >= V_th",
        reset="v = V_reset",
        # Of the steps for which Brian2 holds a potential, the first is that of the spike itself.
        # The first jump that is taken shows in the step after: the potential decays in this one.
        refractory=(neuron["t_ref"] + dt * (not jumps)) * b.ms,
        method=method,
        namespace=neuron,
    )
    first, parts, kinds, inputs = 0, {}, {}, []
    for each in network["populations"]:
        part = parts[each["name"]] = group[first : first + each["size"]]
        kinds[each["name"]] = each["excitatory"]
        law, low, high = each["start"]
        part.v = (
            f"{low} + {high - low} * rand()" if law == "uniform" else f"{low} + {high} * randn()"
        )
        part.I_e = each["current"]
        if each["poisson_rate"]:
            inputs.append(poisson(each, part, jumps))
        first += each["size"]
    if network["conductances"]:
        (mean_ex, std_ex), (mean_in, std_in) = network["conductances"]
        group.g_ex = f"clip({mean_ex} + {std_ex} * randn(), 0, inf)"
        group.g_in = f"clip({mean_in} + {std_in} * randn(), 0, inf)"
    synapses = []
    for block in network["blocks"]:
        if block["weight_std"] or block["delay_std"]:
            raise NotImplementedError("drawn weights and delays are not written for Brian2")
        weight = block["weight"]
        if model == "iaf_cond_exp":
            weight = abs(weight)  # the kind of a conductance tells inhibition
        onto = "g_ex" if kinds[block["source"]] else "g_in"
        jump = f"v_post += {weight} * int(not_refractory_post)"
        made = b.Synapses(
            parts[block["source"]],
            parts[block["target"]],
            on_pre=jump if jumps else f"{onto}_post += {weight}",
            # Brian2 compares a potential with the threshold before spikes arrive in a step, NEST
            # after: a jump shows a step later.
            delay=(block["delay"] - dt * jumps) * b.ms,
        )
        if block["rule"] == "pairwise_bernoulli":
            made.connect(p=block["number"])
        elif block["rule"] == "fixed_indegree":
            draw = np.random.default_rng([asked["seed"], len(synapses)])
            targets = np.repeat(np.arange(len(made.target)), int(block["number"]))
            made.connect(i=draw.integers(0, len(made.source), len(targets)), j=targets)
        else:
            raise NotImplementedError(f"the rule {block['rule']} is not written for Brian2")
        synapses.append(made)
    monitor = b.SpikeMonitor(group)
    b.Network(group, synapses, inputs, monitor).run(asked["seconds"] * b.second, namespace={})
    b.device.build(directory="brian2", run=False)
    built = time.perf_counter() - start
    b.device.run(with_output=False)

    # A spike at the start of a step is one at the end of the step before.
    step = np.rint(np.asarray(monitor.t / b.ms) / dt).astype(np.int32)
    neurons = np.asarray(monitor.i, np.int32)
    order = np.lexsort((neurons, step))
    np.savez(
        output,
        step=step[order],
        neuron=neurons[order],
        build=built,
        run=b.device._last_run_time,
        connections=sum(len(each.i[:]) for each in synapses),
        peak_bytes=0,  # the largest of its processes is the compiler
        version=f"Brian2 {b.__version__}",
    )


def poisson(population, part, jumps):
    """External spikes of a population, from so many trains that each has one a step at most."""
    if not jumps:
        raise NotImplementedError("external spikes as currents are not written for Brian2")
    rate, trains = population["poisson_rate"] / b.ms, 1000
    weight = f"{population['poisson_weight']} * int(not_refractory)"
    return b.PoissonInput(part, "v", N=trains, rate=rate / trains, weight=weight)


if __name__ == "__main__":
    main(*sys.argv[1:])

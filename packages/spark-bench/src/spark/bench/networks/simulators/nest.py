"""NEST: runs a network that a JSON file describes, and writes its spikes.

Run by path, by the Python of an environment with NEST: `python nest.py network.json spikes.npz`.
The file holds the network as `Network.to_dict` gives it, and `seconds`, `seed` and `threads`.
"""

import json
import sys
import time
from pathlib import Path

# By path, this folder is the first where modules are looked for, and holds one called nest.
sys.path.pop(0)

import nest
import numpy as np


def main(description, output):
    """Build, run, and write steps and neurons of spikes, times and memory."""
    asked = json.loads(Path(description).read_text())
    network = asked["network"]
    dt, neuron = network["dt"], dict(network["neuron"])
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.resolution = dt
    nest.local_num_threads = asked["threads"]
    nest.rng_seed = asked["seed"] + 1

    start = time.perf_counter()
    populations = {each["name"]: create(each, neuron) for each in network["populations"]}
    if network["conductances"]:
        for name, law in zip(("g_ex", "g_in"), network["conductances"], strict=True):
            for each in populations.values():
                each.set(**{name: nest.math.max(nest.random.normal(*law), 0.0)})
    for name in populations:
        # NEST counts the connections of one model in a thread in 27 bits.
        if network["plasticity"] is None:
            nest.CopyModel("static_synapse", synapse(name))
        else:
            nest.CopyModel("tsodyks2_synapse", synapse(name), network["plasticity"])
    for block in network["blocks"]:
        connect(block, populations[block["source"]], populations[block["target"]], dt)
    for each in network["populations"]:
        drive(each, populations[each["name"]], dt)
    recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
    for each in populations.values():
        nest.Connect(each, recorder)
    nest.Prepare()
    built = time.perf_counter() - start

    steps = round(1000 * asked["seconds"] / dt)
    start = time.perf_counter()
    nest.Run(steps * dt)
    ran = time.perf_counter() - start
    # The last spikes are handed over a slice later.
    nest.Run(nest.max_delay)
    nest.Cleanup()
    events = recorder.events
    step = np.asarray(events["times"], np.int64) - 1
    first = next(iter(populations.values()))[0].global_id
    sender = np.asarray(events["senders"]) - first
    order = np.lexsort((sender, step))
    order = order[step[order] < steps]
    np.savez(
        output,
        step=step[order].astype(np.int32),
        neuron=sender[order].astype(np.int32),
        build=built,
        run=ran,
        connections=nest.num_connections,
        peak_bytes=peak(),
        version=f"NEST {nest.__version__}",
    )


def peak():
    """Largest resident set, bytes; of a process that started this one, `getrusage` counts too."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def create(population, neuron):
    """Neurons of a population."""
    law, first, second = population["start"]
    kind = {"normal": nest.random.normal, "uniform": nest.random.uniform}[law]
    return nest.Create(
        neuron["model"],
        population["size"],
        {**parameters(neuron), "V_m": kind(first, second), "I_e": population["current"]},
    )


def parameters(neuron):
    """Those of the model; a leak of conductances is C_m / tau_m."""
    names = ["C_m", "E_L", "V_th", "V_reset", "t_ref"]
    if neuron["model"] == "iaf_cond_exp":
        names += ["E_ex", "E_in", "tau_syn_ex", "tau_syn_in"]
        return {"g_L": neuron["C_m"] / neuron["tau_m"], **{name: neuron[name] for name in names}}
    names += ["tau_m"] + ["tau_syn_ex", "tau_syn_in"] * (neuron["model"] == "iaf_psc_exp")
    return {name: neuron[name] for name in names}


def synapse(population):
    """The name of the model of the synapses that a population sends through."""
    return f"from {population}"


def connect(block, sources, targets, dt):
    """The connections of a block."""
    count = {
        "fixed_total_number": "N",
        "fixed_indegree": "indegree",
        "pairwise_bernoulli": "p",
    }
    number = block["number"] if block["rule"] == "pairwise_bernoulli" else int(block["number"])
    weight = block["weight"]
    if block["weight_std"]:
        bound = {"min": 0.0, "max": np.inf} if weight > 0 else {"min": -np.inf, "max": 0.0}
        weight = nest.math.redraw(nest.random.normal(weight, block["weight_std"]), **bound)
    delay = block["delay"]
    if block["delay_std"]:
        # NEST rounds to the nearest step.
        delay = nest.random.normal(delay, block["delay_std"])
        delay = nest.math.redraw(delay, min=dt / 2, max=np.inf)
    nest.Connect(
        sources,
        targets,
        {"rule": block["rule"], count[block["rule"]]: number},
        {"synapse_model": synapse(block["source"]), "weight": weight, "delay": delay},
    )


def drive(population, neurons, dt):
    """External spikes of a population."""
    if population["poisson_rate"]:
        source = nest.Create(
            "poisson_generator", params={"rate": 1000 * population["poisson_rate"]}
        )
        nest.Connect(
            source, neurons, syn_spec={"weight": population["poisson_weight"], "delay": dt}
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""CUBA in Brian2: its example, and a delay for each kind of synapse."""

from brian2 import (
    NeuronGroup,
    SpikeMonitor,
    Synapses,
    defaultclock,
    ms,
    run,
    second,
    seed,
)

defaultclock.dt = 0.1 * ms
seed(1)
equations = """
dv/dt = (ge + gi - (v + 49*mV)) / (20*ms) : volt (unless refractory)
dge/dt = -ge / (5*ms) : volt
dgi/dt = -gi / (10*ms) : volt
"""
group = NeuronGroup(
    4000,
    equations,
    threshold="v > -50*mV",
    reset="v = -60*mV",
    refractory=5 * ms,
    method="exact",
)
group.v = "-60*mV + rand() * 10*mV"

excitation = Synapses(group, group, on_pre="ge += 1.62*mV", delay=1.5 * ms)
excitation.connect("i < 3200", p=0.02)
inhibition = Synapses(group, group, on_pre="gi -= 9*mV", delay=0.8 * ms)
inhibition.connect("i >= 3200", p=0.02)

spikes = SpikeMonitor(group)
run(1.5 * second)

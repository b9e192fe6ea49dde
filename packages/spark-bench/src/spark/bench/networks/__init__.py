"""Networks that the field knows, run through the synapses of Spark."""

from .microcircuit import microcircuit
from .network import Block, Network, Neuron, Population
from .simulate import Run, simulate
from .spikes import Spikes

__all__ = [
    "microcircuit",
    "simulate",
    "Run",
    "Spikes",
    "Network",
    "Population",
    "Block",
    "Neuron",
]

"""Networks that the field knows, run through the synapses of Spark."""

from .balanced import coba, cuba
from .brunel import brunel
from .catalog import NETWORKS, named, published
from .figure import picture
from .microcircuit import microcircuit
from .network import Block, Network, Neuron, Population
from .simulate import Run, simulate
from .spikes import Spikes
from .statistics import Statistics, statistics

__all__ = [
    "NETWORKS",
    "named",
    "microcircuit",
    "brunel",
    "cuba",
    "coba",
    "simulate",
    "Run",
    "Spikes",
    "statistics",
    "Statistics",
    "published",
    "picture",
    "Network",
    "Population",
    "Block",
    "Neuron",
]

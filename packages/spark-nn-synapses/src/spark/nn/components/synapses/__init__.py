"""Synapses that turn spikes into currents, on JAX and Flax NNX."""

from spark.nn.initializers import KernelInitializerConfig
from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

from .__about__ import __version__
from .arguments import InputSpec
from .base import Synapses
from .connectivity import (
    Connections,
    Connectivity,
    FixedFanOut,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    stored_rows,
)
from .delays import Delays, DelayState
from .drive import Drive, Kernel
from .linear import LinearSynapses, LinearSynapsesConfig
from .partition import Partition
from .pathway import Arrays, Pathway, SynapseState
from .plastic import RUTracedSynapses, RUTracedSynapsesConfig
from .projection import Way, project
from .rows import Rows
from .traced import (
    DoubleTracedSynapses,
    DoubleTracedSynapsesConfig,
    TracedSynapses,
    TracedSynapsesConfig,
)

__all__ = [
    "LinearSynapses",
    "LinearSynapsesConfig",
    "TracedSynapses",
    "TracedSynapsesConfig",
    "DoubleTracedSynapses",
    "DoubleTracedSynapsesConfig",
    "RUTracedSynapses",
    "RUTracedSynapsesConfig",
    "Connectivity",
    "SparseConnectivity",
    "RandomConnectivity",
    "FixedFanOut",
    "ProceduralConnectivity",
    "Connections",
    "Rows",
    "stored_rows",
    "Delays",
    "DelayState",
    "Synapses",
    "InputSpec",
    "SpikeArray",
    "CurrentArray",
    "FloatArray",
    "KernelInitializerConfig",
    "Partition",
    "Pathway",
    "Drive",
    "Arrays",
    "Kernel",
    "SynapseState",
    "project",
    "Way",
    "__version__",
]

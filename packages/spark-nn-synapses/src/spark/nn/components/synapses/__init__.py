"""Synapses that turn spikes into currents, on JAX and Flax NNX."""

from spark.nn.initializers import Drawn, KernelInitializerConfig, LogNormal, Normal, Uniform
from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

from .__about__ import __version__
from ._arguments import InputSpec
from ._connect import Connections, stored_rows
from ._projections.base import Projection, Way
from ._projections.dense import project
from ._projections.rows import Rows
from ._stages.delay import DelayState
from .base import Synapses
from .blocks import Block, BlockConnectivity
from .connectivity import Connectivity, ProceduralConnectivity
from .delays import Delays
from .linear import LinearSynapses, LinearSynapsesConfig
from .listed import SparseConnectivity
from .loop import loop_options
from .partition import Partition
from .plastic import RUTracedSynapses, RUTracedSynapsesConfig
from .rules import (
    AllToAll,
    FixedFanOut,
    FixedInDegree,
    FixedTotal,
    OneToOne,
    RandomConnectivity,
    Rule,
)
from .saturating import SaturatingTracedSynapses, SaturatingTracedSynapsesConfig
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
    "SaturatingTracedSynapses",
    "SaturatingTracedSynapsesConfig",
    "Connectivity",
    "SparseConnectivity",
    "RandomConnectivity",
    "FixedInDegree",
    "FixedFanOut",
    "FixedTotal",
    "OneToOne",
    "AllToAll",
    "BlockConnectivity",
    "Block",
    "Rule",
    "Uniform",
    "Normal",
    "LogNormal",
    "Drawn",
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
    "loop_options",
    "project",
    "Projection",
    "Way",
    "__version__",
]

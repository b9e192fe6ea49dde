"""Exact, fast synaptic traces for spiking networks on JAX and Flax NNX."""

import spark as _spark

if getattr(_spark, "__file__", None) is not None:
    raise ImportError(
        f"another distribution owns the package 'spark' here ({_spark.__file__}; the older "
        "spark_snn does): it cannot share an environment with spark-core-tracers. Uninstall it, or "
        "use a fresh environment."
    )

from .__about__ import __version__
from ._coefficients import Decay, Integrator, decay
from ._maps import Propagator
from ._module import Constant, TraceState
from ._recurrence import Law, Recurrence
from ._rounding import Noise, Rounding
from ._scan import Method
from ._state import State
from .base import BaseTracer
from .double import (
    DoubleExponential,
    DoubleExponentialParameters,
    DoubleTracer,
    SaturableDoubleTracer,
)
from .exponential import Exponential, ExponentialParameters, SaturableTracer, Tracer
from .resource_usage import ResourceUsage, ResourceUsageParameters, RUTracer

__all__ = [
    "BaseTracer",
    "Tracer",
    "DoubleTracer",
    "SaturableTracer",
    "SaturableDoubleTracer",
    "RUTracer",
    "Recurrence",
    "Law",
    "Exponential",
    "ExponentialParameters",
    "DoubleExponential",
    "DoubleExponentialParameters",
    "ResourceUsage",
    "ResourceUsageParameters",
    "Propagator",
    "Decay",
    "decay",
    "State",
    "Noise",
    "TraceState",
    "Constant",
    "Integrator",
    "Method",
    "Rounding",
    "__version__",
]

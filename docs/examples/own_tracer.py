"""The occupancy of receptors: each input binds a part of the free ones."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from spark.core.tracers import BaseTracer, Decay, Propagator, Recurrence, decay


class OccupancyParameters(NamedTuple):
    """Time constant of unbinding, and part of the free receptors that bind."""

    tau: Any
    fraction: Any


@dataclasses.dataclass(frozen=True)
class Occupancy(Recurrence[OccupancyParameters]):
    """A step: `y = exp(-dt/tau) y`, then `y += fraction x (1 - y)`."""

    parameters = OccupancyParameters
    time_constants = ("tau",)
    probabilities = ("fraction",)
    traces = ("trace",)
    bounds = (0.0, 1.0)

    def rest(self, parameters):
        return (jnp.zeros(()),)

    def coefficients(self, parameters, steps=1):
        unbinding = decay(parameters.tau, self.dt, "exact", steps)
        return unbinding, parameters.fraction

    def relaxation(self, stage, coefficients, x, before, after):
        unbinding, fraction = coefficients
        bound = fraction * jnp.clip(x, 0, 1)
        return Propagator(unbinding.then(Decay(1 - bound, bound)), bound, 0.0)

    def output(self, coefficients, before, after):
        return after[0]


class OccupancyTracer(BaseTracer):
    """A tracer of the occupancy of receptors."""

    def __init__(self, shape, tau, fraction=0.5, **kwargs):
        super().__init__(shape, **kwargs)
        self.tau, self.fraction = self.define_parameters(
            Occupancy(self.dt), OccupancyParameters(tau, fraction)
        )
        (self.trace,) = self.define_traces()

    @property
    def value(self):
        return self.trace.get_value()

"""Gates of inputs, whose receptors saturate: of those that are closed a spike opens a part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from spark.core.internal import clip
from spark.core.tracers import BaseTracer, Decay, Propagator, Recurrence, decay


class GateParameters(NamedTuple):
    """Parameters of `Gates`; each a scalar or broadcastable to the state.

    Attributes:
        tau: Time constant of closing, in the unit of `dt`.
        opening: Part of the closed gates that a spike opens, in [0, 1].
    """

    tau: Any
    opening: Any


@dataclasses.dataclass(frozen=True)
class Gates(Recurrence[GateParameters]):
    """The recurrence of closed gates, which are the resources of depression without facilitation.

    Attributes:
        dt: Time step, in the unit of the time constant.
    """

    bounds = None
    natural_range = (0.0, 1.0)
    parameters = GateParameters
    time_constants = ("tau",)
    probabilities = ("opening",)
    traces = ("trace_R",)

    def rest(self, parameters: GateParameters) -> tuple[Any, ...]:
        """All closed."""
        return (jnp.ones(()),)

    def coefficients(self, parameters: GateParameters, steps: Any = 1) -> tuple[Decay, Any]:
        """The decay of what is open, and `opening`."""
        return decay(parameters.tau, self.dt, "exact", steps), parameters.opening

    def relaxation(
        self, stage: int, coefficients: Any, x: Array, before: Array | None, after: Array | None
    ) -> Propagator:
        """Gates close over the step; at its end a spike opens a part of those that are closed."""
        closing, opening = coefficients
        opened = opening * clip(x, 0.0, 1.0)
        kept = Decay(1 - opened, opened)
        return Propagator(closing.then(kept), closing.lost * kept.left, 0.0)

    def propagate(
        self, stage: int, coefficients: Any, x: Array, before: Any, after: Any, trace: Array
    ) -> Array:
        """The same without composing the two; from traces in [0, 1] no rounding leads out of it."""
        closing, opening = coefficients
        closed = Propagator(closing, 0.0, 1.0)(trace)
        return closed - opening * clip(x, 0.0, 1.0) * closed

    def output(self, coefficients: Any, before: Any, after: Any) -> Array:
        """What a whole spike opens: a part of the gates that are closed before it."""
        closing, opening = coefficients
        (closed,) = before
        found: Array = opening * (closed + closing.lost * (1 - closed))
        return found


class GateTracer(BaseTracer):
    """The gates of inputs, all closed at rest.

    Attributes:
        tau: Time constant of closing; a Flax variable, as are the others.
        opening: Part of the closed gates that a spike opens.
        trace_R: Closed part of the gates, in [0, 1], of shape `shape`.
    """

    def __init__(self, shape: int | Sequence[int], tau: Any, opening: Any, **kwargs: Any) -> None:
        """Create gates at rest; arguments are those of `GateParameters` and of `BaseTracer`."""
        super().__init__(shape, **kwargs)
        self.tau, self.opening = self.define_parameters(
            Gates(self.dt), GateParameters(tau, opening)
        )
        (self.trace_R,) = self.define_traces()

    @property
    def value(self) -> Float[Array, "*shape"]:
        """The closed part of the gates."""
        found: Array = self.trace_R.get_value()
        return found

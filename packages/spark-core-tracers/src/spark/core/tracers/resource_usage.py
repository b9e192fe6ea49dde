"""Short-term plasticity, resources and their usage: `RUTracer`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._coefficients import Decay, Parameter, Steps, decay
from ._maps import Propagator, clip
from ._recurrence import Recurrence
from ._state import Traces
from .base import BaseTracer


class ResourceUsageParameters(NamedTuple):
    """Parameters of `ResourceUsage`; each a scalar or broadcastable to the state.

    Attributes:
        R_tau: Time constant of the recovery from depression, in the unit of `dt`.
        U_tau: Time constant of the decay of facilitation.
        scale_U: Part of the unused usage that a spike adds, in [0, 1].
    """

    R_tau: Parameter
    U_tau: Parameter
    scale_U: Parameter


class _Coefficients(NamedTuple):
    decay_R: Decay
    decay_U: Decay
    scale_U: Parameter


@dataclasses.dataclass(frozen=True)
class ResourceUsage(Recurrence[ResourceUsageParameters]):
    """The recurrence of short-term plasticity: usage, then resources, each affine given the input.

    The pure counterpart of `RUTracer`: `step` and `scan` take `(parameters, state, x)` and return
    `(state, efficacy)`; the traces of the state are usage and resources, in this order.

    Attributes:
        dt: Time step, in the unit of the time constants.
    """

    bounds = None
    natural_range = (0.0, 1.0)
    parameters = ResourceUsageParameters
    time_constants = ("R_tau", "U_tau")
    probabilities = ("scale_U",)
    traces = ("trace_U", "trace_R")

    def rest(self, parameters: ResourceUsageParameters) -> tuple[Parameter, ...]:
        """No usage, full resources."""
        return jnp.zeros(()), jnp.ones(())

    def coefficients(self, parameters: ResourceUsageParameters, steps: Steps = 1) -> _Coefficients:
        """The two decays, and `scale_U`."""
        return _Coefficients(
            decay(parameters.R_tau, self.dt, "exact", steps),
            decay(parameters.U_tau, self.dt, "exact", steps),
            parameters.scale_U,
        )

    def relaxation(
        self, stage: int, coefficients: _Coefficients, x: Array, before: Array, after: Array
    ) -> Propagator:
        """Usage, then resources: relaxation over the step, then the jump at its end."""
        x = _portion(x, coefficients)
        if stage == 0:  # U decays, then U + gain (1 - U)
            gain = coefficients.scale_U * x
            return Propagator(coefficients.decay_U.then(Decay(1 - gain, gain)), gain, 0.0)
        released = after * x  # R recovers, R + lost (1 - R), then R (1 - released)
        kept = Decay(1 - released, released)
        return Propagator(
            coefficients.decay_R.then(kept), coefficients.decay_R.lost * kept.left, 0.0
        )

    def propagate(
        self,
        stage: int,
        coefficients: _Coefficients,
        x: Array,
        before: Array,
        after: Array,
        trace: Array,
    ) -> Array:
        """The same without composing the two: a step takes half as long on a CPU.

        From traces in [0, 1] no rounding leads out of it, so that nothing is clipped.
        """
        x = _portion(x, coefficients)
        if stage == 0:
            usage = Propagator(coefficients.decay_U, 0.0, 0.0)(trace)
            return usage + coefficients.scale_U * x * (1 - usage)
        resources = Propagator(coefficients.decay_R, 0.0, 1.0)(trace)
        return resources - after * x * resources

    def cast_input(self, x: Array, compute: jnp.dtype) -> Array:
        """Inputs in the compute dtype, but for booleans, which need no clipping."""
        return x if x.dtype == bool else super().cast_input(x, compute)

    def output(self, coefficients: _Coefficients, before: Traces, after: Traces) -> Array:
        """The efficacy: usage after facilitation, resources before depletion."""
        usage, resources = after[0], before[1]
        return usage * (resources + coefficients.decay_R.lost * (1 - resources))


def _portion(x: Array, coefficients: _Coefficients) -> Array:
    """An input between none and a whole spike, in the dtype of the coefficients."""
    return x.astype(coefficients.decay_U.left.dtype) if x.dtype == bool else clip(x, 0.0, 1.0)


class RUTracer(BaseTracer):
    r"""Short-term plasticity (STP) of each element: its resources and their usage.

    Between spikes the usage `U` relaxes to 0 and the resources `R` to 1, exactly over the step:

    $$ \tau_U \frac{dU}{dt} = -U, \qquad \tau_R \frac{dR}{dt} = 1 - R. $$

    Then, for an input `x` clipped to [0, 1], in this order: `U += scale_U (1 - U) x`; the efficacy
    `U R` is what the call returns; `R -= U R x`. So the first spike after rest releases `scale_U`.
    A silent element returns its efficacy as well: what a spike drives is `efficacy * x`.

    Unlike with the other tracers, the call does not return `value`, which is `trace_U * trace_R` of
    the state as it stands, resources depleted.

    Depression alone is the limit of a short `U_tau`. There is no Euler variant.

    Attributes:
        R_tau: Time constant of the recovery from depression; a Flax variable, as are the others.
        U_tau: Time constant of the decay of facilitation.
        scale_U: Part of the unused usage that a spike adds.
        decay_R: Part of the missing resources that is still missing after one step; read-only.
        decay_U: Part of the usage that is left after one step; read-only.
        trace_R: Resources, in [0, 1], of shape `shape`; a Flax variable.
        trace_U: Usage, likewise.

    References:
        Tsodyks and Markram (1997), PNAS 94:719-723.
        Tsodyks, Pawelzik and Markram (1998), Neural Computation 10:821-835, eqs. 2.1 to 2.5.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.core.tracers import RUTracer
        >>> tracer = RUTracer((1,), R_tau=800.0, U_tau=1.0, scale_U=0.5, dtype=jnp.float32)
        >>> train = jnp.zeros((50, 1), bool).at[::20].set(True)
        >>> tracer.scan(train)[::20, 0]  # depression: each spike finds less
        Array([0.5..., 0.2561..., 0.1372...], dtype=float32)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        R_tau: Parameter,
        U_tau: Parameter,
        scale_U: Parameter,
        **kwargs: Any,
    ) -> None:
        """Create a tracer at rest: no usage, full resources.

        Args:
            shape: Shape of the traces; an integer stands for one axis.
            R_tau: Time constant of the recovery from depression, in the unit of `dt` (ms by
                convention); finite and > 0. Like the others, a scalar or any array that broadcasts
                to `shape`.
            U_tau: Time constant of the decay of facilitation; finite and > 0.
            scale_U: Part of the unused usage that a spike adds, in [0, 1]; the release probability
                of the first spike.
            **kwargs: `seed`, `dtype`, `dt`, `rounding` and `trainable`, as in `BaseTracer`.

        Raises:
            TypeError: If an argument has the wrong type, or a keyword is unknown.
            ValueError: If an argument has a value or a shape that makes no sense; the message names
                the argument, its value and the remedy.
        """
        super().__init__(shape, **kwargs)
        given = ResourceUsageParameters(R_tau, U_tau, scale_U)
        variables = self.define_parameters(ResourceUsage(self.dt), given)
        self.R_tau, self.U_tau, self.scale_U = variables
        self.trace_U, self.trace_R = self.define_traces()

    @property
    def decay_R(self) -> Float[Array, "..."]:
        """Part of the missing resources still missing after one step, of the shape of `R_tau`."""
        return decay(self.R_tau.get_value(), self.dt, "exact").left

    @property
    def decay_U(self) -> Float[Array, "..."]:
        """Part of the usage that is left after one step, of the shape of `U_tau`."""
        return decay(self.U_tau.get_value(), self.dt, "exact").left

    @property
    def value(self) -> Float[Array, "*shape"]:
        """Usage times resources of the state as it stands."""
        return self.trace_U.get_value() * self.trace_R.get_value()

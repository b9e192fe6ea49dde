"""Double exponential traces, cascades of two stages: `DoubleTracer`, `SaturableDoubleTracer`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from ._arguments import one_of
from ._coefficients import (
    INTEGRATORS,
    Decay,
    Integrator,
    Parameter,
    Steps,
    coupling,
    decay,
    euler_coupling,
)
from ._dtypes import as_bounds
from ._maps import Propagator
from ._recurrence import Recurrence
from ._state import Traces
from .base import BaseTracer


class DoubleExponentialParameters(NamedTuple):
    """Parameters of `DoubleExponential`; each a scalar or broadcastable to the state.

    Attributes:
        tau_1: Time constant of stage 1, in the unit of `dt`.
        tau_2: Time constant of stage 2.
        scale_1: Increment of stage 1 per unit of input.
        scale_2: Rate of stage 2, per unit of time, per unit deviation of stage 1; with the Euler
            integrator, per step.
        base_1: Value of stage 1 at rest.
        base_2: Value of stage 2 at rest.
    """

    tau_1: Parameter
    tau_2: Parameter
    scale_1: Parameter = 1.0
    scale_2: Parameter = 1.0
    base_1: Parameter = 0.0
    base_2: Parameter = 0.0


class _Stage(NamedTuple):
    decay: Decay
    gain_before: Any  # of the drive at the start of the step, or None
    gain_after: Any  # of the drive at its end, or None
    base: Parameter


@dataclasses.dataclass(frozen=True)
class DoubleExponential(Recurrence[DoubleExponentialParameters]):
    """The recurrence of a cascade: the input drives stage 1, stage 1 drives stage 2.

    The pure counterpart of `DoubleTracer` and, with bounds, of `SaturableDoubleTracer`: `step` and
    `scan` take `(parameters, state, x)` and return `(state, y)`.

    Attributes:
        dt: Time step, in the unit of the time constants.
        integrator: `"exact"`, or `"euler"`, where stage 2 takes the updated stage 1 per step.
        bounds: Range that both traces are clipped to after their update; None does not clip.
    """

    integrator: Integrator = "exact"
    bounds: tuple[float, float] | None = None

    parameters = DoubleExponentialParameters
    time_constants = ("tau_1", "tau_2")
    bases = ("base_1", "base_2")
    traces = ("trace_1", "trace_2")

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        super().__post_init__()
        one_of("integrator", self.integrator, INTEGRATORS)
        if self.bounds is not None:
            as_bounds(*self.bounds)

    def rest(self, parameters: DoubleExponentialParameters) -> tuple[Parameter, ...]:
        """The two bases."""
        return parameters.base_1, parameters.base_2

    def coefficients(
        self, parameters: DoubleExponentialParameters, steps: Steps = 1
    ) -> tuple[_Stage, _Stage]:
        """Decay, gains and base of each stage."""
        p = parameters
        before: Parameter | None
        after: Parameter | None
        if self.integrator == "exact":
            before, after = p.scale_2 * coupling(p.tau_1, p.tau_2, self.dt * steps), None
        elif isinstance(steps, int) and steps == 1:
            before, after = None, p.scale_2
        else:
            lagged = euler_coupling(p.tau_1, p.tau_2, self.dt, steps)
            before, after = p.scale_2 * lagged, p.scale_2
        left_1 = decay(p.tau_1, self.dt, self.integrator, steps)
        left_2 = decay(p.tau_2, self.dt, self.integrator, steps)
        return (
            _Stage(left_1, None, p.scale_1, p.base_1),
            _Stage(left_2, before, after, p.base_2),
        )

    def relaxation(
        self, stage: int, coefficients: tuple[_Stage, _Stage], x: Array, before: Array, after: Array
    ) -> Propagator:
        """Decay towards the base, driven by the input or by stage 1."""
        own = coefficients[stage]
        if stage == 0:
            return Propagator(own.decay, own.gain_after * x, own.base)
        offset: Any = 0.0
        if own.gain_before is not None:
            offset = offset + own.gain_before * (before - coefficients[0].base)
        if own.gain_after is not None:
            offset = offset + own.gain_after * (after - coefficients[0].base)
        return Propagator(own.decay, offset, own.base)

    def output(self, coefficients: tuple[_Stage, _Stage], before: Traces, after: Traces) -> Array:
        """Stage 2, as kept."""
        return after[1]


class DoubleTracer(BaseTracer):
    r"""A double exponential trace of each element: a rise and a decay.

    A cascade: the input drives stage 1, stage 1 drives stage 2, and stage 2 is the value.

    $$ \tau_1 \frac{du_1}{dt} = -u_1, \quad
       u_1 \mathrel{+}= \mathrm{scale}_1 x \text{ at each input}, \qquad
       \frac{du_2}{dt} = -\frac{u_2}{\tau_2} + \mathrm{scale}_2\, u_1, $$

    with `trace_i = base_i + u_i`. An input of 1 gives, after a time `t`,

    $$ u_2(t) = \mathrm{scale}_1 \mathrm{scale}_2
       \frac{e^{-t/\tau_1} - e^{-t/\tau_2}}{1/\tau_2 - 1/\tau_1}, $$

    the dual exponential, and with equal time constants the alpha function `t exp(-t/tau)`. The
    values do not depend on `dt`.

    With `integrator="euler"` stage 2 takes the updated stage 1 once per step, without the factor
    `dt`: to compare, `scale_2(euler) = dt * scale_2(exact)`.

    Attributes:
        tau_1: Time constant of stage 1; a Flax variable, as are the other parameters.
        tau_2: Time constant of stage 2.
        scale_1: Increment of stage 1 per unit of input.
        scale_2: Rate of stage 2, per unit of time, per unit deviation of stage 1.
        base_1: Value of stage 1 at rest.
        base_2: Value of stage 2 at rest.
        decay_1: Part of a deviation of stage 1 that is left after one step; read-only.
        decay_2: The same for stage 2.
        trace_1: Stage 1, of shape `shape`; a Flax variable.
        trace_2: Stage 2, likewise.

    References:
        Roth and van Rossum (2009), in De Schutter (ed.), Computational Modeling Methods for
        Neuroscientists, ch. 6, eqs. 6.3 and 6.4: alpha function and dual exponential.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.core.tracers import DoubleTracer
        >>> tracer = DoubleTracer((1,), tau_1=2.0, tau_2=2.0, dtype=jnp.float32)
        >>> impulse = jnp.zeros((4, 1)).at[0].set(1.0)
        >>> tracer.scan(impulse)[:, 0]  # t exp(-t/2) at t = 0, 1, 2, 3
        Array([0. ..., 0.6065..., 0.7357..., 0.6693...], dtype=float32)
    """

    _bounds: tuple[float, float] | None = None
    _fixed = (*BaseTracer._fixed, "integrator")

    def __init__(
        self,
        shape: int | Sequence[int],
        tau_1: Parameter,
        tau_2: Parameter,
        scale_1: Parameter = 1,
        scale_2: Parameter = 1,
        base_1: Parameter = 0,
        base_2: Parameter = 0,
        *args: Any,
        integrator: Integrator = "exact",
        **kwargs: Any,
    ) -> None:
        """Create a double tracer at rest.

        Args:
            shape: Shape of the traces; an integer stands for one axis.
            tau_1: Time constant of stage 1, in the unit of `dt` (ms by convention); finite and > 0.
                Like the other parameters, a scalar or any array that broadcasts to `shape`.
            tau_2: Time constant of stage 2.
            scale_1: Increment of stage 1 per unit of input.
            scale_2: Rate of stage 2, per unit of time, per unit deviation of stage 1; with the
                Euler integrator, per step.
            base_1: Value of stage 1 at rest.
            base_2: Value of stage 2 at rest.
            *args: `seed`, `dtype` and `dt`, as in `BaseTracer`.
            integrator: `"exact"`, or `"euler"` to reproduce a model stepped by Euler's method.
            **kwargs: `seed`, `dtype`, `dt`, `rounding` and `trainable`, as in `BaseTracer`.

        Raises:
            TypeError: If an argument has the wrong type, or a keyword is unknown.
            ValueError: If an argument has a value or a shape that makes no sense; the message names
                the argument, its value and the remedy.
        """
        super().__init__(shape, *args, **kwargs)
        self.integrator = integrator
        recurrence = DoubleExponential(self.dt, integrator, self._bounds)
        given = DoubleExponentialParameters(tau_1, tau_2, scale_1, scale_2, base_1, base_2)
        variables = self.define_parameters(recurrence, given)
        self.tau_1, self.tau_2, self.scale_1, self.scale_2, self.base_1, self.base_2 = variables
        self.trace_1, self.trace_2 = self.define_traces()

    @property
    def decay_1(self) -> Float[Array, "..."]:
        """Part of a deviation of stage 1 that is left after one step, of the shape of `tau_1`."""
        return decay(self.tau_1.get_value(), self.dt, self.integrator).left

    @property
    def decay_2(self) -> Float[Array, "..."]:
        """Part of a deviation of stage 2 that is left after one step, of the shape of `tau_2`."""
        return decay(self.tau_2.get_value(), self.dt, self.integrator).left

    @property
    def value(self) -> Float[Array, "*shape"]:
        """Stage 2."""
        return self.trace_2.get_value()


class SaturableDoubleTracer(DoubleTracer):
    """A double exponential trace of each element, clipped to a range.

    A `DoubleTracer` whose two traces are clipped to `[minimum, maximum]` after each update; stage 2
    is driven by the clipped stage 1. The clip acts at the steps, so own, and only own, the values
    depend on `dt`. Its derivative is 1 inside and on the bounds, and 0 outside.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.core.tracers import SaturableDoubleTracer
        >>> tracer = SaturableDoubleTracer((1,), tau_1=10.0, tau_2=50.0, dtype=jnp.float32)
        >>> tracer.scan(jnp.ones((4, 1)))[:, 0]
        Array([0. ..., 0.9420..., 1. ..., 1. ...], dtype=float32)
    """

    _fixed = (*DoubleTracer._fixed, "minimum", "maximum")

    def __init__(
        self,
        shape: int | Sequence[int],
        tau_1: Parameter,
        tau_2: Parameter,
        scale_1: Parameter = 1,
        scale_2: Parameter = 1,
        base_1: Parameter = 0,
        base_2: Parameter = 0,
        *args: Any,
        minimum: float = 0.0,
        maximum: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Create a saturable double tracer at rest.

        Args:
            shape: As in `DoubleTracer`, like the other parameters.
            tau_1: Time constant of stage 1.
            tau_2: Time constant of stage 2.
            scale_1: Increment of stage 1 per unit of input.
            scale_2: Rate of stage 2, per unit of time, per unit deviation of stage 1.
            base_1: Value of stage 1 at rest, within the bounds.
            base_2: Value of stage 2 at rest, within the bounds.
            *args: `seed`, `dtype` and `dt`, as in `BaseTracer`.
            minimum: Smallest value of the traces; finite.
            maximum: Largest value of the traces; finite.
            **kwargs: As in `DoubleTracer`.

        Raises:
            TypeError: As in `DoubleTracer`.
            ValueError: As in `DoubleTracer`; and if a bound is not finite, if the range is empty,
                or if a base lies outside it.
        """
        self._bounds = self.minimum, self.maximum = as_bounds(minimum, maximum)
        super().__init__(shape, tau_1, tau_2, scale_1, scale_2, base_1, base_2, *args, **kwargs)

"""Single exponential traces: `Tracer` and `SaturableTracer`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from ._arguments import one_of
from ._coefficients import INTEGRATORS, Decay, Integrator, Parameter, Steps, decay
from ._dtypes import as_bounds
from ._maps import Propagator
from ._recurrence import Recurrence
from ._state import Traces
from .base import BaseTracer


class ExponentialParameters(NamedTuple):
    """Parameters of `Exponential`; each a scalar or broadcastable to the state.

    Attributes:
        tau: Time constant, in the unit of `dt`.
        scale: Increment of the trace per unit of input.
        base: Value at rest.
    """

    tau: Parameter
    scale: Parameter = 1.0
    base: Parameter = 0.0


class _Coefficients(NamedTuple):
    decay: Decay
    scale: Parameter
    base: Parameter


@dataclasses.dataclass(frozen=True)
class Exponential(Recurrence[ExponentialParameters]):
    """The recurrence `u' = decay u + scale x` of the deviation `u = trace - base`.

    The pure counterpart of `Tracer` and, with bounds, of `SaturableTracer`: `step` and `scan` take
    `(parameters, state, x)` and return `(state, y)`.

    Attributes:
        dt: Time step, in the unit of `tau`.
        integrator: `"exact"` for `decay = exp(-dt/tau)`, `"euler"` for `1 - dt/tau`.
        bounds: Range that the trace is clipped to after its update; None does not clip.
    """

    integrator: Integrator = "exact"
    bounds: tuple[float, float] | None = None

    parameters = ExponentialParameters
    time_constants = ("tau",)
    bases = ("base",)
    traces = ("trace",)

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        super().__post_init__()
        one_of("integrator", self.integrator, INTEGRATORS)
        if self.bounds is not None:
            as_bounds(*self.bounds)

    def rest(self, parameters: ExponentialParameters) -> tuple[Parameter, ...]:
        """The base."""
        return (parameters.base,)

    def coefficients(self, parameters: ExponentialParameters, steps: Steps = 1) -> _Coefficients:
        """Decay, scale and base."""
        left = decay(parameters.tau, self.dt, self.integrator, steps)
        return _Coefficients(left, parameters.scale, parameters.base)

    def relaxation(
        self, stage: int, coefficients: _Coefficients, x: Array, before: Array, after: Array
    ) -> Propagator:
        """Decay towards the base, and the scaled input."""
        return Propagator(coefficients.decay, coefficients.scale * x, coefficients.base)

    def output(self, coefficients: _Coefficients, before: Traces, after: Traces) -> Array:
        """The trace, as kept."""
        return after[0]


class Tracer(BaseTracer):
    r"""An exponential trace of each element.

    $$ \tau \frac{du}{dt} = -u, \qquad u \mathrel{+}= \mathrm{scale} \cdot x
       \text{ at each input}, \qquad \mathrm{trace} = \mathrm{base} + u. $$

    A step covers `(t, t + dt]` and its input arrives at the end, so that one step is
    `u' = exp(-dt/tau) u + scale x`. It is exact: the values do not depend on `dt`.

    Attributes:
        tau: Time constant; a Flax variable, as are `scale` and `base`.
        scale: Increment of the trace per unit of input.
        base: Value at rest.
        decay: Part of a deviation that is left after one step; read-only.
        trace: The trace, of shape `shape`; a Flax variable.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.core.tracers import Tracer
        >>> tracer = Tracer((2,), tau=10.0, dtype=jnp.float32)
        >>> tracer(jnp.array([True, False]))
        Array([1., 0.], dtype=float32)
        >>> tracer.scan(jnp.zeros((10, 2)))[-1]  # exp(-1), one time constant later
        Array([0.3678..., 0. ...], dtype=float32)
    """

    _bounds: tuple[float, float] | None = None
    _fixed = (*BaseTracer._fixed, "integrator")

    def __init__(
        self,
        shape: int | Sequence[int],
        tau: Parameter,
        scale: Parameter = 1,
        base: Parameter = 0,
        *,
        integrator: Integrator = "exact",
        **kwargs: Any,
    ) -> None:
        """Create a tracer at rest.

        Args:
            shape: Shape of the trace; an integer stands for one axis.
            tau: Time constant, in the unit of `dt` (ms by convention); finite and > 0. Like
                `scale` and `base`, a scalar or any array that broadcasts to `shape`.
            scale: Increment of the trace per unit of input.
            base: Value at rest.
            integrator: `"exact"`, or `"euler"` to reproduce a model stepped by Euler's method.
            **kwargs: `seed`, `dtype`, `dt` and `rounding`, as in `BaseTracer`.

        Raises:
            TypeError: If an argument has the wrong type, or a keyword is unknown.
            ValueError: If an argument has a value or a shape that makes no sense; the message names
                the argument, its value and the remedy.
        """
        super().__init__(shape, **kwargs)
        self.integrator = integrator
        recurrence = Exponential(self.dt, integrator, self._bounds)
        given = ExponentialParameters(tau, scale, base)
        self.tau, self.scale, self.base = self.define_parameters(recurrence, given)
        (self.trace,) = self.define_traces()

    @property
    def decay(self) -> Float[Array, "..."]:
        """Part of a deviation that is left after one step, of the shape of `tau`."""
        return decay(self.tau.get_value(), self.dt, self.integrator).left

    @property
    def value(self) -> Float[Array, "*shape"]:
        """The trace."""
        return self.trace.get_value()


class SaturableTracer(Tracer):
    """An exponential trace of each element, clipped to a range.

    A `Tracer` whose trace is clipped to `[minimum, maximum]` after each update. With `scale = 1`
    and the default bounds it is the nearest-spike trace of pair-based plasticity: each spike sets
    it to 1. The derivative of the clip is 1 inside and on the bounds, and 0 outside.

    References:
        Morrison, Diesmann and Gerstner (2008), Biological Cybernetics 98:459-478, section 4.1.2:
        all-to-all and nearest-spike traces.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.core.tracers import SaturableTracer
        >>> tracer = SaturableTracer((1,), tau=20.0, dtype=jnp.float32)
        >>> tracer.scan(jnp.ones((3, 1)))[:, 0]
        Array([1., 1., 1.], dtype=float32)
    """

    _fixed = (*Tracer._fixed, "minimum", "maximum")

    def __init__(
        self,
        shape: int | Sequence[int],
        tau: Parameter,
        scale: Parameter = 1,
        base: Parameter = 0,
        *,
        minimum: float = 0.0,
        maximum: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Create a saturable tracer at rest.

        Args:
            shape: As in `Tracer`, like `tau`, `scale` and `base`.
            tau: Time constant.
            scale: Increment of the trace per unit of input.
            base: Value at rest, within the bounds.
            minimum: Smallest value of the trace; finite.
            maximum: Largest value of the trace; finite.
            **kwargs: `integrator`, `seed`, `dtype`, `dt` and `rounding`, as in `Tracer`.

        Raises:
            TypeError: As in `Tracer`.
            ValueError: As in `Tracer`; and if a bound is not finite, if the range is empty, or if
                the base lies outside it.
        """
        self._bounds = self.minimum, self.maximum = as_bounds(minimum, maximum)
        super().__init__(shape, tau, scale, base, **kwargs)

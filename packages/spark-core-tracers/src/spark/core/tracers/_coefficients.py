"""Time constants and dt to coefficients: the only place where they meet."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

Parameter: TypeAlias = Float[Array, "..."] | float
"""A parameter: a scalar, or an array that broadcasts to the state."""

Integrator = Literal["exact", "euler"]
"""How a step is taken: the exact solution over dt, or one Euler step of size dt."""

INTEGRATORS = get_args(Integrator)

# sinh(z)/z as a series in z^2 on |z| < 1: the first term left out is 1/21!, 2e-20.
_SINHC_TERMS = 10

Steps: TypeAlias = Float[Array, "..."] | int
"""A number of steps without input in between; coefficients of a gap take the place of a step's."""

# A rate of 80 per step leaves 2e-35 of a deviation: in effect 0, and far from an overflow.
_FASTEST = 80.0


class Decay(NamedTuple):
    """A decay factor and its complement, both kept because near 1 the factor has too few digits.

    At `tau = 1e5 dt`, float32 gives `1 - exp(-dt/tau)` an error of 0.3 %.

    Attributes:
        left: The decay, in [0, 1].
        lost: Its complement, `1 - left`.
    """

    left: Float[Array, "..."]
    lost: Float[Array, "..."]

    def then(self, later: Decay) -> Decay:
        """One decay after the other."""
        lost = self.lost + later.lost * self.left
        # A product of factors near 1 loses digits that the sum of their complements keeps.
        return Decay(jnp.where(lost > 0.5, self.left * later.left, 1 - lost), lost)


def longest_time_constant(dt: float, dtype: jnp.dtype, integrator: str) -> float:
    """The longest time constant by which a step changes a trace that is rounded to nearest.

    Args:
        dt: Time step.
        dtype: Dtype that the trace is rounded to.
        integrator: As in `decay`.
    """
    # A change of less than half an epsilon is rounded away.
    half = float(jnp.finfo(dtype).eps) / 2
    return dt / (half if integrator == "euler" else -math.log1p(-half))


def decay(tau: Parameter, dt: float, integrator: Integrator, steps: Steps = 1) -> Decay:
    """The decay of a deviation over one or several steps without input.

    Args:
        tau: Time constant, in the unit of `dt`; any shape.
        dt: Time step.
        integrator: `"exact"` leaves `exp(-dt/tau)`, `"euler"` leaves `1 - dt/tau`.
        steps: Number of steps, broadcastable against `tau`.

    Returns:
        The decay, of the shape and dtype of `tau`.
    """
    if integrator == "euler" and isinstance(steps, int) and steps == 1:
        left, lost = (tau - dt) / tau, jnp.divide(dt, tau)
    else:
        rate = dt * steps / tau if integrator == "exact" else steps * _euler_rate(tau, dt)
        left, lost = jnp.exp(-rate), -jnp.expm1(-rate)
        if integrator == "euler":
            # At tau = dt only the step itself has a derivative, and a rate has none.
            one = jnp.equal(steps, 1)
            left = jnp.where(one, (tau - dt) / tau, left)
            lost = jnp.where(one, jnp.divide(dt, tau), lost)
    # The larger part from the smaller one, so that their sum rounds to 1.
    most = lost > 0.5
    return Decay(jnp.where(most, left, 1 - lost), jnp.where(most, 1 - left, lost))


def _euler_rate(tau: Parameter, dt: float) -> Array:
    """The rate per step at which Euler's method decays: `exp(-rate) = 1 - dt/tau`."""
    lost = jnp.divide(dt, tau)
    # At tau = dt the logarithm and its derivative are infinite: keep them out of the other branch.
    decays = lost < 1
    rate = -jnp.log1p(-jnp.where(decays, lost, 0.5))
    return jnp.where(decays, jnp.minimum(rate, _FASTEST), _FASTEST)


def coupling(tau_1: Parameter, tau_2: Parameter, dt: Parameter) -> Float[Array, "..."]:
    r"""The exact coupling: a unit deviation of stage 1 adds this to stage 2 over a time `dt`.

    $$ g = \int_0^{dt} e^{-s/\tau_1} e^{-(dt-s)/\tau_2} ds
         = \frac{e^{-dt/\tau_1} - e^{-dt/\tau_2}}{1/\tau_2 - 1/\tau_1}
         = dt\, e^{-dt(a+c)/2} \operatorname{sinhc}(dt(a-c)/2), $$

    with $a = 1/\tau_1$, $c = 1/\tau_2$ and $\operatorname{sinhc}(z) = \sinh(z)/z$. The last form
    holds everywhere, equal time constants included, where it and its derivatives are those of
    $dt\, e^{-dt/\tau}$.

    Args:
        tau_1: Time constant of stage 1; shape broadcastable against `tau_2` and `dt`.
        tau_2: Time constant of stage 2.
        dt: Time, in the same unit.

    Returns:
        The coupling, in that unit of time.

    References:
        Rotter and Diesmann (1999), Biological Cybernetics 81:381-402, eq. 3: the exact propagator
        of a linear time-invariant system, of which this is the off-diagonal element.
    """
    return _convolved_decays(1 / tau_1, 1 / tau_2, dt)


def euler_coupling(tau_1: Parameter, tau_2: Parameter, dt: float, steps: Steps) -> Array:
    r"""The coupling of stage 1 to stage 2 in all but the last of several Euler steps.

    The last step adds the updated stage 1 itself. With decays $d_i = 1 - dt/\tau_i$ and $n$ steps,

    $$ \sum_{j=1}^{n-1} d_1^j d_2^{n-j} = d_1 d_2 \frac{d_1^{n-1} - d_2^{n-1}}{d_1 - d_2}. $$

    Args:
        tau_1: Time constant of stage 1; at least `dt`.
        tau_2: Time constant of stage 2; at least `dt`.
        dt: Time step.
        steps: Number of steps, at least 1.
    """
    rate_1, rate_2 = _euler_rate(tau_1, dt), _euler_rate(tau_2, dt)
    over = _convolved_decays(rate_1, rate_2, steps - 1)
    left = (1 - jnp.divide(dt, tau_1)) * (1 - jnp.divide(dt, tau_2))
    return left * over / _convolved_decays(rate_1, rate_2, 1)


def _convolved_decays(rate_1: Parameter, rate_2: Parameter, time: Parameter) -> Array:
    """The convolution of two decays at a time: `(exp(-a t) - exp(-c t)) / (c - a)`."""
    half_difference = time * (rate_1 - rate_2) / 2
    near = jnp.abs(half_difference) < 1

    # Each formula sees only arguments of its own side, so that neither its value
    # nor its derivative can overflow where it is not used.
    z = jnp.where(near, half_difference, 0)
    series = jnp.ones_like(z)
    for n in range(_SINHC_TERMS - 1, 0, -1):
        series = 1 + series * z * z / (2 * n * (2 * n + 1))
    mean_rate = jnp.where(near, (rate_1 + rate_2) / 2, 0)
    close = jnp.exp(-time * mean_rate) * series

    # exp(-t(a+c)/2) sinh|z| with the larger exponential factored out.
    width = jnp.where(near, 1, 2 * jnp.abs(half_difference))
    apart = jnp.exp(-time * jnp.minimum(rate_1, rate_2)) * -jnp.expm1(-width) / width
    return time * jnp.where(near, close, apart)

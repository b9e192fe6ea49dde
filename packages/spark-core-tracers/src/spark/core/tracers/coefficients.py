"""Time constants and dt to coefficients: the only place where they meet."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

Parameter: TypeAlias = Float[Array, "..."] | float
"""A parameter: a scalar, or an array that broadcasts to the state."""

Integrator = Literal["exact", "euler"]
"""How a step is taken: the exact solution over dt, or one Euler step of size dt."""

INTEGRATORS = get_args(Integrator)

# sinh(z)/z as a series in z^2 on |z| < 1: the first term left out is 1/21!, 2e-20.
_SINHC_TERMS = 10


def complement(tau: Parameter, dt: float, integrator: Integrator) -> Float[Array, "..."]:
    """Part of a deviation that is lost in one step, `1 - decay`.

    It is kept instead of the decay itself because near 1 a decay has too few digits:
    at `tau = 1e5 dt`, float32 gives `1 - exp(-dt/tau)` an error of 0.3 %.

    Args:
        tau: Time constant, in the unit of `dt`; any shape.
        dt: Time step.
        integrator: `"exact"` gives `1 - exp(-dt/tau)`, `"euler"` gives `dt/tau`.

    Returns:
        The complement, of the shape and dtype of `tau`.
    """
    if integrator == "euler":
        return jnp.divide(dt, tau)
    return -jnp.expm1(-dt / tau)


def decay(tau: Parameter, dt: float, integrator: Integrator) -> Float[Array, "..."]:
    """Part of a deviation that is left after one step, for a reader; see `complement`."""
    return 1 - jnp.divide(dt, tau) if integrator == "euler" else jnp.exp(-dt / tau)


def coupling(tau_1: Parameter, tau_2: Parameter, dt: float) -> Float[Array, "..."]:
    r"""What a unit deviation of stage 1 adds to stage 2 over one exact step.

    $$ g = \int_0^{dt} e^{-s/\tau_1} e^{-(dt-s)/\tau_2} ds
         = \frac{e^{-dt/\tau_1} - e^{-dt/\tau_2}}{1/\tau_2 - 1/\tau_1}
         = dt\, e^{-dt(a+c)/2} \operatorname{sinhc}(dt(a-c)/2), $$

    with $a = 1/\tau_1$, $c = 1/\tau_2$ and $\operatorname{sinhc}(z) = \sinh(z)/z$. The last form
    holds everywhere, equal time constants included, where it and its derivatives are those of
    $dt\, e^{-dt/\tau}$.

    Args:
        tau_1: Time constant of stage 1; shape broadcastable against `tau_2`.
        tau_2: Time constant of stage 2.
        dt: Time step, in the same unit.

    Returns:
        The coupling, in that unit of time.

    References:
        Rotter and Diesmann (1999), Biological Cybernetics 81:381-402, eq. 3: the exact propagator
        of a linear time-invariant system, of which this is the off-diagonal element.
    """
    rate_1, rate_2 = 1 / tau_1, 1 / tau_2
    half_difference = dt * (rate_1 - rate_2) / 2
    near = jnp.abs(half_difference) < 1

    # Each formula sees only arguments of its own side, so that neither its value
    # nor its derivative can overflow where it is not used.
    z = jnp.where(near, half_difference, 0)
    series = jnp.ones_like(z)
    for n in range(_SINHC_TERMS - 1, 0, -1):
        series = 1 + series * z * z / (2 * n * (2 * n + 1))
    mean_rate = jnp.where(near, (rate_1 + rate_2) / 2, 0)
    close = jnp.exp(-dt * mean_rate) * series

    # exp(-dt(a+c)/2) sinh|z| with the larger exponential factored out.
    width = jnp.where(near, 1, 2 * jnp.abs(half_difference))
    apart = jnp.exp(-dt * jnp.minimum(rate_1, rate_2)) * -jnp.expm1(-width) / width
    return dt * jnp.where(near, close, apart)

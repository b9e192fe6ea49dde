"""Parameters of a tracer: checked for shape, range and dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arguments import fit, real_array, require_fit, require_values
from ._coefficients import longest_time_constant
from ._dtypes import compute_dtype, smallest
from ._maps import clip
from ._rounding import Rounding, round_to, rounded_dtype

if TYPE_CHECKING:
    from ._recurrence import Recurrence


class Checked(NamedTuple):
    """A parameter as it came and as it is kept.

    Attributes:
        name: Name of the argument.
        given: The value as given, as an array.
        kept: The same in the compute dtype; a NumPy array, unless it is traced by JAX.
    """

    name: str
    given: Any
    kept: Any

    def require(self, holds: Callable[[Any], Any], rule: str) -> None:
        """Refuse it by its values, as `require_values`; one traced by a JAX transform is taken."""
        if not isinstance(self.kept, jax.core.Tracer):
            require_values(self.name, self.kept, holds, rule, self.given)

    def require_no_underflow(self, dtype: jnp.dtype) -> None:
        """Refuse a value that is not 0 and would count as 0 in `dtype`.

        Raises:
            ValueError: If there is one.
        """
        least = smallest(dtype)
        self.require(
            lambda kept: (np.asarray(self.given) == 0) | (np.abs(kept) >= least),
            f"be 0 or at least {least:.3g} in {dtype} (use a smaller unit or a wider dtype)",
        )


def as_parameter(
    name: str, value: Any, shape: tuple[int, ...], dtype: jnp.dtype, most: float | None = None
) -> Checked:
    """A parameter in the compute dtype that belongs to a state of `shape` and `dtype`.

    Args:
        name: Name of the parameter.
        value: The value as given.
        shape: Shape that it must broadcast to.
        dtype: Storage dtype of the state.
        most: The largest usable value, which an error names where infinity comes.

    Raises:
        TypeError: If it is not an array of real numbers.
        ValueError: If it does not broadcast to `shape`, or has a value that is NaN or infinite, or
            that is not 0 and would count as 0.
    """
    array = real_array(name, value)
    require_fit(name, array.shape, shape)
    compute = compute_dtype(dtype)
    if isinstance(array, jax.core.Tracer):
        return Checked(name, array, array.astype(compute))
    with np.errstate(over="ignore", under="ignore"):
        checked = Checked(name, array, np.asarray(array).astype(compute))
    usable = "" if most is None else f" (and at most {most:.6g} here)"
    checked.require(np.isfinite, f"be finite in {compute}{usable}")
    if most is None:  # a time constant has a bound below, too
        checked.require_no_underflow(compute)
    return checked


def require_base(base: Checked, limits: tuple[float, float], dtype: jnp.dtype) -> None:
    """Refuse a value at rest that a trace of `dtype` cannot take.

    Raises:
        ValueError: If it lies outside of `limits`, or is not 0 and would count as 0.
    """
    require_within(base, limits)
    base.require_no_underflow(dtype)


def require_within(value: Checked, limits: tuple[float, float]) -> None:
    """Refuse a value outside of `limits`.

    Raises:
        ValueError: If there is one.
    """
    low, high = limits
    value.require(lambda kept: (low <= kept) & (kept <= high), f"lie within [{low:g}, {high:g}]")


def as_parameter_of(
    recurrence: Recurrence[Any],
    name: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    rounding: Rounding,
) -> Checked:
    """A parameter or trace of a recurrence, checked as the recurrence declares it.

    Args:
        recurrence: The recurrence.
        name: Name of the parameter or trace.
        value: The value as given.
        shape: Shape that it must broadcast to.
        dtype: Storage dtype of the traces.
        rounding: How these are rounded.

    Raises:
        TypeError: If it is not an array of real numbers.
        ValueError: If it has a shape or a value that makes no sense.
    """
    limits = recurrence.range(dtype)  # refuses bounds that the dtype cannot hold
    if name in recurrence.time_constants:
        return _time_constant(recurrence, name, value, shape, dtype, rounding)
    checked = as_parameter(name, value, shape, dtype)
    if name in recurrence.bases:
        require_base(checked, recurrence.bounds or limits, dtype)
    if name in recurrence.traces:
        require_within(checked, limits)
    if name in recurrence.probabilities:
        checked.require(lambda p: (p >= 0) & (p <= 1), "lie in [0, 1]")
    return checked


def _time_constant(
    recurrence: Recurrence[Any],
    name: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    rounding: Rounding,
) -> Checked:
    integrator, kept = getattr(recurrence, "integrator", "exact"), rounded_dtype(dtype, rounding)
    dt = recurrence.dt
    longest = longest_time_constant(dt, kept, integrator)
    tau = as_parameter(name, value, shape, dtype, longest)
    # Shorter ones leave nothing either, and would overflow in a derivative.
    shortest = 1e-15 * dt
    tau.require(lambda tau: tau >= shortest, f"be > 0 (at least {shortest:g})")
    if integrator == "euler":
        tau.require(lambda tau: tau >= dt, f"be at least dt = {dt:g} for Euler")
    remedy = "a wider dtype or a longer dt"
    if kept != compute_dtype(dtype):
        remedy = f"rounding='stochastic', {remedy}"
    tau.require(
        lambda tau: tau <= longest,
        f"be at most {longest:.6g} to decay in {kept} rounded to nearest (use {remedy})",
    )
    return tau


def prepare_parameters(
    recurrence: Recurrence[Any], parameters: Any, shape: tuple[int, ...], dtype: jnp.dtype
) -> dict[str, Float[Array, "..."]]:
    """Parameters by name, in the compute dtype of a state of `shape` and `dtype`.

    A base is one that the state can rest on: a value of `dtype`.
    """
    compute = compute_dtype(dtype)
    named = {
        name: fit(name, jnp.asarray(value), shape).astype(compute)
        for name, value in zip(recurrence.parameters._fields, parameters, strict=True)
    }
    limits = recurrence.range(dtype)
    return named | {name: round_to(dtype, clip(named[name], *limits)) for name in recurrence.bases}

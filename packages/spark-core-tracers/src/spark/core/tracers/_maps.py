"""Maps of a trace by one step, and their composition over many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ._coefficients import Decay, Parameter

Series: TypeAlias = tuple[Float[Array, " time *shape"], ...]
"""One array per stage, or per output."""


class Propagator(NamedTuple):
    """The affine propagator of a stage over a step, `y -> base + decay (y - base) + offset`.

    Attributes:
        decay: Decay of the deviation from base.
        offset: Increment by the step.
        base: Value at rest.
    """

    decay: Decay
    offset: Parameter
    base: Parameter

    def __call__(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Take the step."""
        # If less than half is lost, add the change to y; else add what is left to base. Both keep
        # all digits, and without input leave y = base unchanged. The sign of the slope tells which,
        # so that a step reads one array of coefficients.
        left, lost = self.decay
        slope = jnp.where(lost > 0.5, left, -lost)
        start = jnp.where(jnp.signbit(slope), y, self.base)
        # Each sum has one product at most: with two, compilers contract either of them, and `step`
        # would not have the bits of `lax.scan`.
        return (start + self.offset) + slope * (y - self.base)


@jax.custom_jvp
def clip(y: Float[Array, "*shape"], minimum: float, maximum: float) -> Float[Array, "*shape"]:
    """Clip `y`; the derivative is 1 where `y` is inside or on the bounds, and 0 outside."""
    return jnp.clip(y, minimum, maximum)


@clip.defjvp
def _clip_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    y, minimum, maximum = (jnp.asarray(primal, primals[0].dtype) for primal in primals)
    dy, dminimum, dmaximum = (jnp.asarray(tangent, y.dtype) for tangent in tangents)
    outside = jnp.where(y < minimum, dminimum, dmaximum)
    return clip(*primals), jnp.where(within(y, minimum, maximum), dy, outside)


def within(y: Array, minimum: float | Array, maximum: float | Array) -> Array:
    """Where `clip` leaves `y` as it is."""
    return (minimum <= y) & (y <= maximum)


class _Affine(NamedTuple):
    """The map `u -> decay u + offset` of a deviation."""

    decay: Decay
    offset: Array

    def __call__(self, u: Array) -> Array:
        # Applied once per level of the tree, so that one rounding of the decay is harmless.
        return self.decay.left * u + self.offset

    def then(self, later: _Affine) -> _Affine:
        return _Affine(self.decay.then(later.decay), later(self.offset))

    def finite(self) -> _Affine:
        """The same with an offset that has not overflowed; NaN stays NaN."""
        largest = float(jnp.finfo(self.offset.dtype).max)
        return self._replace(offset=clip(self.offset, -largest, largest))


class _Clipped(NamedTuple):
    """An affine map of a deviation, clipped to a range: closed under composition.

    As the decay is not negative, `clip(a' clip(a u + b, low, high) + b', low', high')` is
    `clip(a' a u + a' b + b', low'', high'')`, where the new bounds are the later map of the earlier
    ones.
    """

    affine: _Affine
    low: Array
    high: Array

    def then(self, later: _Clipped) -> _Clipped:
        def moved(bound: Array) -> Array:
            return clip(later.affine(bound), later.low, later.high)

        return _Clipped(self.affine.then(later.affine).finite(), moved(self.low), moved(self.high))


def linear_scan(
    decay: Decay, offset: Float[Array, " time *shape"], start: Float[Array, "*shape"]
) -> Float[Array, " time *shape"]:
    """All `u[t] = decay[t] u[t-1] + offset[t]`, in a tree; linear in `offset` and `start`.

    Args:
        decay: Per step; a scalar, or with a time axis of size 1, for all steps alike.
        offset: Increment by each step.
        start: Value before the first step.
    """
    total = lax.associative_scan(_Affine.then, _Affine(_repeated(decay, offset), offset))
    return Propagator(total.decay, total.offset, 0.0)(start[None])


def run_parallel(
    steps: Propagator,
    start: Float[Array, "*shape"],
    bounds: tuple[float, float] | None,
    restart: Bool[Array, " time *shape"] | None = None,
) -> Float[Array, " time *shape"]:
    """The trace after each step, with the maps of the steps composed in a tree over time.

    Args:
        steps: One map per step, time first; a decay or base that is a scalar, or has a time
            axis of size 1, stands for all steps alike.
        start: Trace before the first step.
        bounds: Range that the trace is clipped to after each step.
        restart: Where a step starts again from `start`, whatever came before, a NaN included.

    References:
        Blelloch (1990), Prefix sums and their applications, section 1.4: recurrences as scans.
    """
    offset = jnp.broadcast_to(steps.offset, (jnp.shape(steps.offset)[0], *start.shape))
    affine = _Affine(_repeated(steps.decay, offset), offset)
    if bounds is None:
        total = _segmented_scan(affine.finite(), lambda one, two: one.then(two).finite(), restart)
        return Propagator(total.decay, total.offset, steps.base)(start[None])
    low, high = (jnp.broadcast_to(bound - steps.base, offset.shape) for bound in bounds)
    total = _segmented_scan(_Clipped(affine.finite(), low, high), _Clipped.then, restart)
    after = total.affine(start[None] - steps.base)
    return clip(steps.base + clip(after, total.low, total.high), *bounds)


def _segmented_scan(maps: Any, then: Callable[[Any, Any], Any], restart: Array | None) -> Any:
    """Inclusive scan of maps, restarted where `restart` is true (a segmented scan)."""
    if restart is None:
        return lax.associative_scan(then, maps)

    def follow(earlier: tuple[Array, Any], later: tuple[Array, Any]) -> tuple[Array, Any]:
        begins, after = later
        # Masked, so that no NaN from before gets in, through a derivative either.
        before = jax.tree.map(lambda each: jnp.where(begins, 0, each), earlier[1])
        both = jax.tree.map(
            lambda one, two: jnp.where(begins, one, two), after, then(before, after)
        )
        return earlier[0] | begins, both

    return lax.associative_scan(follow, (restart, maps))[1]


def _repeated(decay: Decay, series: Array) -> Decay:
    """A decay with as many axes, and as many entries over time, as the series has."""

    def repeated(a: Array) -> Array:
        a = a if a.ndim else a.reshape((1,) * series.ndim)
        return jnp.broadcast_to(a, (len(series), *a.shape[1:]))

    return Decay(*map(repeated, decay))


def inputs(xs: Array, rank: int) -> Array:
    """Inputs with one axis for time and one for each axis of the state."""
    return xs.reshape(len(xs), *(1,) * (rank + 1 - xs.ndim), *xs.shape[1:])


def coefficients_over_time(coefficients: Any) -> Any:
    """Coefficients with an axis of size 1 for time; scalars stay scalars."""
    return jax.tree.map(lambda a: a[None] if a.ndim else a, coefficients)


def shifted(start: Array, series: Array) -> Array:
    """The series one step earlier."""
    return jnp.concatenate([start[None], series[:-1]]) if len(series) else series

"""Maps of a trace: what one step does to it, and what many steps in a row do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from .coefficients import Parameter


class Relaxation(NamedTuple):
    """One step of one stage as a map of its trace, `y -> y + offset - complement (y - base)`.

    Attributes:
        complement: Part of the deviation from base that is lost, `1 - decay`, in [0, 1].
        offset: What the step adds.
        base: Where the trace relaxes to.
    """

    complement: Float[Array, "..."]
    offset: Float[Array, "..."]
    base: Parameter

    def __call__(self, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Take the step."""
        # A change added to y: with no input, y = base stays exactly where it is.
        return y + (self.offset - self.complement * (y - self.base))


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
    """The map `u -> u - complement u + offset` of a deviation."""

    complement: Array
    offset: Array

    def then(self, later: _Affine) -> _Affine:
        return _Affine(
            # 1 - (1 - c)(1 - c'), without the loss of digits near decay 1.
            self.complement + later.complement * (1 - self.complement),
            self.offset + (later.offset - later.complement * self.offset),
        )

    def finite(self) -> _Affine:
        """The same with an offset that has not overflowed; NaN stays NaN."""
        largest = float(jnp.finfo(self.offset.dtype).max)
        return self._replace(offset=clip(self.offset, -largest, largest))


class _Clipped(NamedTuple):
    """An affine map of a deviation, clipped to a range: closed under composition.

    As the decay is not negative, `clip(a' clip(a u + b, low, high) + b', low', high')` is
    `clip(a' a u + a' b + b', low'', high'')`, where the new bounds are what the later map makes of
    the earlier ones.
    """

    affine: _Affine
    low: Array
    high: Array

    def then(self, later: _Clipped) -> _Clipped:
        step = later.affine

        def moved(bound: Array) -> Array:
            moved = bound + (step.offset - step.complement * bound)
            return clip(moved, later.low, later.high)

        return _Clipped(self.affine.then(step).finite(), moved(self.low), moved(self.high))


def linear_scan(
    complement: Float[Array, "..."],
    offset: Float[Array, "time *shape"],
    start: Float[Array, "*shape"],
    *,
    parallel: bool,
) -> Float[Array, "time *shape"]:
    """All `u[t] = u[t-1] - complement[t] u[t-1] + offset[t]`; linear in `offset` and `start`.

    Args:
        complement: Per step, or a scalar or with a time axis of size 1 for all steps alike.
        offset: What each step adds.
        start: Value before the first step.
        parallel: Compose the maps in a tree over time, instead of one after another.
    """
    complement = _ranked(complement, offset.ndim)
    if parallel:
        total = lax.associative_scan(_Affine.then, _Affine(_repeated(complement, offset), offset))
        return start[None] + (total.offset - total.complement * start[None])

    def body(u: Array, step: tuple[Array | None, Array]) -> tuple[Array, Array]:
        c, b = step
        u = u + (b - (complement[0] if c is None else c) * u)
        return u, u

    constant = complement.shape[0] == 1

    def scan(start: Array, offset: Array) -> Array:
        return lax.scan(body, start, (None if constant else complement, offset))[1]

    # As a tangent of itself, which it is: jax 0.8 transposes no scan that it does not know as one.
    at = jnp.zeros_like(start), jnp.zeros_like(offset)
    return jax.jvp(scan, at, (start, offset))[1]


def run_parallel(
    steps: Relaxation,
    start: Float[Array, "*shape"],
    bounds: tuple[float, float] | None,
    anew: Bool[Array, "time *shape"] | None = None,
) -> Float[Array, "time *shape"]:
    """The trace after each step, with the maps of the steps composed in a tree over time.

    Args:
        steps: One map per step, time first; a complement or base that is a scalar, or has a time
            axis of size 1, stands for all steps alike.
        start: Trace before the first step.
        bounds: Range that the trace is clipped to after each step.
        anew: Where a step begins again from `start`, whatever came before, a fault included.

    References:
        Blelloch (1990), Prefix sums and their applications, section 1.4: recurrences as scans.
    """
    offset = jnp.broadcast_to(steps.offset, (len(steps.offset), *start.shape))
    affine = _Affine(_repeated(_ranked(steps.complement, offset.ndim), offset), offset)
    deviation = start[None] - steps.base
    if bounds is None:
        total = _accumulated(affine.finite(), lambda one, two: one.then(two).finite(), anew)
        return start[None] + (total.offset - total.complement * deviation)
    low, high = (jnp.broadcast_to(bound - steps.base, offset.shape) for bound in bounds)
    total = _accumulated(_Clipped(affine.finite(), low, high), _Clipped.then, anew)
    after = deviation + (total.affine.offset - total.affine.complement * deviation)
    return clip(steps.base + clip(after, total.low, total.high), *bounds)


def _accumulated(maps: Any, then: Callable[[Any, Any], Any], anew: Array | None) -> Any:
    """Each map with all before it, back to the last that begins anew."""
    if anew is None:
        return lax.associative_scan(then, maps)

    def follow(earlier: tuple[Array, Any], later: tuple[Array, Any]) -> tuple[Array, Any]:
        begins, after = later
        both = jax.tree.map(
            lambda one, two: jnp.where(begins, one, two), after, then(earlier[1], after)
        )
        return earlier[0] | begins, both

    return lax.associative_scan(follow, (anew, maps))[1]


def _ranked(a: Array, rank: int) -> Array:
    """A scalar with as many axes as the rest."""
    return a if a.ndim else a.reshape((1,) * rank)


def _repeated(a: Array, series: Array) -> Array:
    """As many entries over time as the series has."""
    return jnp.broadcast_to(a, (len(series), *a.shape[1:]))

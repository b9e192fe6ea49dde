"""Distributions of weights, delays and parameters, to be drawn by the inverse of their CDF."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array
from pydantic import Field, PlainValidator, model_validator

from spark.core.internal import compute_dtype, show

from ..configs import Config

_Real = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_LEAST = 1e-9
"""Probability that must lie between bounds: of less, a quantile would keep few digits."""


class Inverse(NamedTuple):
    """A distribution as a function of a number `u` that is uniform in (0, 1).

    The value is `clip(shift + scale * x, low, high)`, exponentiated before the clip if so; `x` is
    `start + width * u`, or the normal quantile of it.

    Attributes:
        shift: See above; likewise the next three.
        scale: Negative where the upper tail is drawn, in which a quantile has more digits.
        start: Lowest argument of the quantile.
        width: Range of it.
        normal: Whether the normal quantile is taken.
        exponential: Whether the exponential is taken.
        low: Lowest value.
        high: Highest value.
    """

    shift: float
    scale: float
    start: float = 0.0
    width: float = 1.0
    normal: bool = False
    exponential: bool = False
    low: float = -math.inf
    high: float = math.inf

    def at(self, uniform: Any, quantile: Any = ndtri, numpy: Any = jnp) -> Any:
        """Values from numbers that are uniform in (0, 1).

        Args:
            uniform: The numbers.
            quantile: The normal quantile, for arrays of the kind of `uniform`.
            numpy: The module of such arrays.
        """
        x = self.start + self.width * uniform
        value = self.shift + self.scale * (quantile(x) if self.normal else x)
        value = numpy.exp(value) if self.exponential else value
        return numpy.clip(value, self.low, self.high)


class Distribution(Config, abc.ABC):
    """Base class of the distributions, which are also initializers, called as those of JAX."""

    @property
    @abc.abstractmethod
    def inverse(self) -> Inverse:
        """How a value comes from a uniform number."""

    @property
    def support(self) -> tuple[float, float]:
        """Bounds of the values; infinite where there are none."""
        return self.inverse.low, self.inverse.high

    def __call__(
        self, key: Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None
    ) -> Array:
        """Independent draws, as JAX's initializers give them."""
        wide = compute_dtype(dtype)
        least = float(jnp.finfo(wide).tiny)  # the quantile of 0 is infinite
        draws = jax.random.uniform(key, shape, wide, least, 1.0, out_sharding=out_sharding)
        return self.inverse.at(draws).astype(dtype)


class Uniform(Distribution):
    """The uniform distribution on an interval.

    Attributes:
        low: Lower end.
        high: Upper end.

    Example:
        >>> from spark.nn.initializers import Uniform
        >>> Uniform(low=1.0, high=2.0).support
        (1.0, 2.0)
    """

    kind: Literal["uniform"] = "uniform"
    low: _Real
    high: _Real

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        _require_ascent(self.low, self.high)
        return self

    @property
    def inverse(self) -> Inverse:
        """How a value comes from a uniform number."""
        return Inverse(self.low, self.high - self.low, low=self.low, high=self.high)


class _Bell(Distribution):
    """Base of normal and log-normal distributions: two parameters and bounds."""

    mean: _Real
    std: _Positive
    low: _Real | None = None
    high: _Real | None = None
    at_bounds: Literal["redraw", "clip"] = "redraw"

    @model_validator(mode="after")
    def _fit(self) -> Self:
        _require_ascent(*self._bounds)
        _ = self.inverse
        return self

    @property
    def _bounds(self) -> tuple[float, float]:
        low = -math.inf if self.low is None else self.low
        return low, math.inf if self.high is None else self.high

    def _between(self, low: float, high: float, ends: Any) -> Inverse:
        """The inverse between bounds of what is normally distributed."""
        if self.std == 0 or self.at_bounds == "clip":
            if self.std == 0 and self.at_bounds == "redraw" and not low <= self.mean <= high:
                raise ValueError("std must be > 0 where mean lies outside of low and high.")
            return Inverse(self.mean, self.std, normal=True, **ends)
        # To draw again until a value lies between the bounds is to draw between their quantiles.
        low, high = (low - self.mean) / self.std, (high - self.mean) / self.std
        sign = 1 if low + high < 0 or math.isinf(low) else -1
        below, above = (_cdf(low), _cdf(high)) if sign > 0 else (_cdf(-high), _cdf(-low))
        if above - below < _LEAST:
            raise ValueError(
                f"low and high must leave at least {_LEAST:g} of the distribution between them, "
                f"got {self.low} and {self.high}, which leave {above - below:.2g}; "
                "at_bounds='clip' moves what lies outside onto them."
            )
        return Inverse(self.mean, sign * self.std, below, above - below, normal=True, **ends)


class Normal(_Bell):
    """The normal distribution, within bounds if there are any.

    Attributes:
        mean: Mean of the distribution without bounds.
        std: Standard deviation, likewise.
        low: Lower bound; None without.
        high: Upper bound; None without.
        at_bounds: `"redraw"`, again until a value lies within the bounds, or `"clip"`, to the
            bound that is nearest.

    Example:
        >>> import jax
        >>> from spark.nn.initializers import Normal
        >>> weights = Normal(mean=1.0, std=2.0, low=0.0)(jax.random.key(0), (1000,))
        >>> bool((weights > 0).all())
        True
    """

    kind: Literal["normal"] = "normal"

    @property
    def inverse(self) -> Inverse:
        """How a value comes from a uniform number."""
        low, high = self._bounds
        return self._between(low, high, {"low": low, "high": high})


class LogNormal(_Bell):
    """The log-normal distribution: the exponential of a normal one.

    Attributes:
        mean: Mean of the logarithm, as in NEST and NumPy.
        std: Standard deviation of the logarithm, likewise.
        low: Lower bound; None without.
        high: Upper bound; None without.
        at_bounds: As in `Normal`.

    Example:
        >>> from spark.nn.initializers import LogNormal
        >>> LogNormal(mean=0.0, std=1.0, high=10.0).support
        (0.0, 10.0)
    """

    kind: Literal["lognormal"] = "lognormal"

    @property
    def inverse(self) -> Inverse:
        """How a value comes from a uniform number."""
        low, high = self._bounds
        if high <= 0:
            raise ValueError(f"high must be > 0, got {high:g}.")
        least, ends = max(low, 0.0), {"low": max(low, 0.0), "high": high, "exponential": True}
        return self._between(math.log(least) if least else -math.inf, math.log(high), ends)


def as_distribution(value: Any) -> Distribution | float:
    """A finite number, a `Distribution`, or one as a dictionary that was read from a file."""
    if isinstance(value, Distribution):
        return value
    known = {each.model_fields["kind"].default: each for each in (Uniform, Normal, LogNormal)}
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in known:
        return known[kind](**value)
    number = isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)
    if number and not isinstance(value, bool):
        return float(value)
    names = ", ".join(each.__name__ for each in known.values())
    raise ValueError(f"must be a finite number or one of {names}; got {show(value)}.")


Distributed = Annotated[Distribution | float, PlainValidator(as_distribution)]
"""A field for a number or a distribution."""


def _require_ascent(low: float, high: float) -> None:
    if not low <= high:  # or not a number
        raise ValueError(f"low must be at most high, got {low:g} and {high:g}.")


def _cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2

"""Factors of drawn weights: each a distribution, whose numbers stand among the sizes of the rows.

A factor takes `WORDS` words of 32 bits: the index of its kind in `KINDS`, its stream of random
bits, and two float32 for each of the numbers of an `Inverse`, the sum of which it is: so float64
keeps 48 binary digits of it, and what has no float64 reads the first alone.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from spark.nn.initializers.distributions import Inverse

Factor = Literal["uniform", "normal", "lognormal"]
"""Which function of a uniform number a factor is."""

KINDS = get_args(Factor)

_NUMBERS = ("shift", "scale", "start", "width", "low", "high")

WORDS = 2 + 2 * len(_NUMBERS)
"""Words of a factor."""

STREAM = 3
"""Stream of the first factor: those before are of targets, weights and delays."""


def kind_of(inverse: Inverse) -> Factor:
    """Which kind a distribution is of."""
    if not inverse.normal:
        return "uniform"
    return "lognormal" if inverse.exponential else "normal"


def encoded(inverse: Inverse, stream: int) -> np.ndarray[Any, Any]:
    """The words of a distribution, whose numbers are drawn from a stream."""
    numbers = np.array([getattr(inverse, name) for name in _NUMBERS])
    first = numbers.astype(np.float32)
    finite = np.isfinite(numbers)
    second = np.where(finite, numbers - np.where(finite, first, 0), 0).astype(np.float32)
    words = np.stack([first, second], axis=1).reshape(-1).view(np.int32)
    return np.concatenate([np.array([KINDS.index(kind_of(inverse)), stream], np.int32), words])


def decoded(kind: Factor, words: Int[Array, " words"], wide: jnp.dtype) -> Inverse:
    """The distribution that `encoded` wrote, with numbers of a dtype."""
    pairs = lax.bitcast_convert_type(words[2:], jnp.float32).reshape(-1, 2).astype(wide)
    numbers = dict(zip(_NUMBERS, pairs.sum(axis=1), strict=True))
    return Inverse(**numbers, normal=kind != "uniform", exponential=kind == "lognormal")

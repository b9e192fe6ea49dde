"""What is static in a run over time, and how its arrays are laid out."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .law import Law
from .ways import chunk

Series: TypeAlias = tuple[Float[Array, " time *shape"], ...]
"""One array per stage, or per output."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is static in a run over time.

    Attributes:
        law: The law.
        dtype: Storage dtype of the traces.
        parallel: Whether to compose the steps in a tree over time.
        every: Whether to return every trace at each step, instead of the output alone.
        size: Elements x steps that the parallel way composes at a time;
            by default what was measured to be fast on this platform.
    """

    law: Law[Any]
    dtype: jnp.dtype
    parallel: bool
    every: bool = False
    size: int = dataclasses.field(default_factory=chunk)

    def chunk(self, time: int, shape: tuple[int, ...]) -> int:
        """How many of `time` steps are taken at once, for traces of `shape`."""
        if not self.parallel:
            return 1
        return min(time, max(1, self.size // max(1, math.prod(shape))))


def inputs(xs: Array, rank: int) -> Array:
    """Inputs with one axis for time and one for each axis of the state."""
    return xs.reshape(len(xs), *(1,) * (rank + 1 - xs.ndim), *xs.shape[1:])


def coefficients_over_time(k: Any) -> Any:
    """Coefficients with an axis of size 1 for time; scalars stay scalars."""
    return jax.tree.map(lambda a: a[None] if a.ndim else a, k)


def shifted(start: Array, series: Array) -> Array:
    """The series one step earlier."""
    return jnp.concatenate([start[None], series[:-1]]) if len(series) else series

"""The state of a recurrence: its traces, and the noise that rounds them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from jaxtyping import Array, Float

from ._rounding import Noise

Traces: TypeAlias = tuple[Float[Array, "*shape"], ...]
"""One array per stage."""


class State(NamedTuple):
    """The state of a recurrence.

    Attributes:
        traces: One array per stage, all of one shape and dtype.
        noise: Random bits of stochastic rounding; counts the steps.
    """

    traces: Traces
    noise: Noise

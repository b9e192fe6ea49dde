"""The state of a recurrence: its traces, and the noise that rounds them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from jaxtyping import Array, Float

from ._rounding import Noise

Traces: TypeAlias = tuple[Float[Array, "*shape"], ...]
"""One array per stage."""


class State(NamedTuple):
    """What a recurrence carries from step to step.

    Attributes:
        traces: One array per stage, all of one shape and dtype.
        noise: Random bits of stochastic rounding; counts the steps.
    """

    traces: Traces
    noise: Noise

    def after(self, steps: Array | int, traces: Traces) -> State:
        """The state some steps later, with the traces back in the storage dtype."""
        stored = tuple(new.astype(old.dtype) for new, old in zip(traces, self.traces, strict=True))
        return State(stored, self.noise.after(steps))

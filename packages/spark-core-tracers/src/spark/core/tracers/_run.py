"""`Run`: a recurrence with its coefficients, for one call or one scan."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arguments import require_fit
from ._scan import Method, Plan, in_parallel, run
from ._state import State

if TYPE_CHECKING:
    from ._recurrence import Recurrence


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["coefficients"],
    meta_fields=["recurrence", "dtype"],
)
@dataclasses.dataclass(frozen=True)
class Run:
    """A recurrence with its coefficients; the carry is a state with traces in the compute dtype.

    Attributes:
        recurrence: The recurrence; static.
        dtype: Storage dtype of the traces; static.
        coefficients: The coefficients, derived from the parameters.
    """

    recurrence: Recurrence[Any]
    dtype: jnp.dtype
    coefficients: Any

    def step(self, carry: State, x: Array) -> tuple[State, Float[Array, "*shape"]]:
        """Take one step; the output is in the storage dtype."""
        traces, y = self.recurrence.advance(
            self.coefficients, self.dtype, carry.traces, carry.noise, x
        )
        return State(traces, carry.noise.after(1)), y.astype(self.dtype)

    def scan(
        self, carry: State, xs: Array, method: Method = "auto"
    ) -> tuple[State, Float[Array, " time *shape"]]:
        """Take one step per leading entry of `xs`; outputs are in the storage dtype."""
        trace = carry.traces[0]
        require_fit("xs[t]", xs.shape[1:], trace.shape)
        plan = Plan(self.recurrence, self.dtype, in_parallel(method, len(xs), trace.size))
        traces, (ys,) = run(plan, self.coefficients, carry.traces, carry.noise, xs)
        return State(traces, carry.noise.after(len(xs))), ys

    def chunk(self, time: int) -> int:
        """Number of steps to take at once: all."""
        return time

"""`Run`: a recurrence with its coefficients, for one call or one scan."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._arguments import require_fit
from ._scan import Method, Plan, in_parallel, outputs, run
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
        self,
        carry: State,
        xs: Array,
        method: Method = "auto",
        lengths: Int[Array, "*batch"] | None = None,
    ) -> tuple[State, Float[Array, " time *shape"]]:
        """Take one step per leading entry of `xs`; outputs are in the storage dtype.

        Args:
            carry: The carry.
            xs: Inputs, time first.
            method: As in `Recurrence.scan`.
            lengths: After how many steps the traces of each entry of their leading axes stay as
                they are; None after none. Noise counts all steps, and outputs go on.
        """
        trace = carry.traces[0]
        require_fit("xs[t]", xs.shape[1:], trace.shape)
        plan = Plan(self.recurrence, self.dtype, in_parallel(method, len(xs), trace.size))
        noise = carry.noise.after(len(xs))
        if lengths is None:
            traces, (ys,) = run(plan, self.coefficients, carry.traces, carry.noise, xs)
            return State(traces, noise), ys
        plan = dataclasses.replace(plan, keep_traces=True)
        _, series = run(plan, self.coefficients, carry.traces, carry.noise, xs)
        after = tuple(each.astype(trace.dtype) for each in series)
        traces = tuple(_at(lengths, *pair) for pair in zip(carry.traces, after, strict=True))
        return State(traces, noise), outputs(plan, self.coefficients, carry.traces, after)

    def chunk(self, time: int) -> int:
        """Number of steps to take at once: all."""
        return time


def _at(
    lengths: Int[Array, "*batch"], start: Float[Array, "*shape"], series: Float[Array, "..."]
) -> Float[Array, "*shape"]:
    """A trace after so many steps for each entry of its leading axes."""
    if len(series) == 0:
        return start
    each = lengths.reshape(1, *lengths.shape, *(1,) * (start.ndim - lengths.ndim))
    last = jnp.take_along_axis(series, jnp.maximum(each - 1, 0), axis=0)[0]
    return jnp.where(each[0] > 0, last, start)

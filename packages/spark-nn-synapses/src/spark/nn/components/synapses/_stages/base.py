"""What a stage is: everything between spikes and currents has this form, and no other."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from spark.core.internal import bound, compute_dtype
from spark.core.tracers import Method

from .ring import before_arrival

Carry: TypeAlias = Any
"""What a run hands from step to step: a tree of arrays, in the arithmetic dtype."""


class Run(abc.ABC):
    """A stage with its coefficients, for one call or scan; a tree of arrays."""

    @abc.abstractmethod
    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """Take one step."""

    @abc.abstractmethod
    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        """Take one step per leading entry of `xs`.

        Args:
            carry: The carry.
            xs: Inputs, time first.
            method: How to run recurrences over time, as in `Tracer.scan`.
            lengths: After how many steps the carry of each entry of a batch stays as it is; None
                after none. The inputs beyond are 0, and the outputs there are not read.
        """

    def chunk(self, time: int) -> int:
        """How many of `time` steps to take at once: all, where nothing large is made of them."""
        return time


class Stage(abc.ABC):
    """A stage of a chain: static, hashable, without arrays. A `Recurrence` is one as it is."""

    @abc.abstractmethod
    def begin(self, parameters: Any, state: Any) -> tuple[Any, Carry]:
        """Derive a `Run` from the parameters, and the carry from the state."""

    def end(self, state: Any, carry: Carry) -> Any:
        """The state after a run, in the storage dtype of the one that it began from."""
        return carry


class Function(Stage):
    """A stage that is one function of parameters, carry and input.

    Without a carry its steps do not depend on each other, so that a scan takes many at once. A
    carry is the ring buffer of what arrives later.
    """

    @abc.abstractmethod
    def apply(self, parameters: Any, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """Take one step; or several, with time as the leading axis, if there is no carry."""

    def chunk(self, parameters: Any, time: int) -> int:
        """How many of `time` steps to take at once."""
        return time

    def begin(self, parameters: Any, state: Any) -> tuple[Run, Carry]:
        """Nothing is derived from the parameters."""
        return FunctionRun(self, parameters), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FunctionRun(Run):
    """A `Function` with its parameters."""

    stage: Function = dataclasses.field(metadata={"static": True})
    parameters: Any

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        return self.stage.apply(self.parameters, carry, x)

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        if carry is None:
            return self.step(carry, xs)
        after, ys = lax.scan(self.step, carry, xs)
        return after if lengths is None else before_arrival(after, ys, lengths), ys

    def chunk(self, time: int) -> int:
        return self.stage.chunk(self.parameters, time)


def saturated(values: Array, dtype: Any) -> Array:
    """Values in a storage dtype: beyond its range they are limited, infinite ones stay so."""
    if not jnp.issubdtype(dtype, jnp.floating) or values.dtype in (dtype, bool):
        return values.astype(dtype)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(compute_dtype(dtype))
    largest = float(jnp.finfo(dtype).max)
    return jnp.where(jnp.isinf(values), values, bound(values, (-largest, largest))).astype(dtype)

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

Carry: TypeAlias = Any
"""What a run hands from step to step: a tree of arrays, in the arithmetic dtype."""


class Run(abc.ABC):
    """A stage with its coefficients, for one call or scan; a tree of arrays."""

    @abc.abstractmethod
    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        """Take one step."""

    def scan(self, carry: Carry, xs: Array, method: Method = "auto") -> tuple[Carry, Array]:
        """Take one step per leading entry of `xs`."""
        return lax.scan(self.step, carry, xs)

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

    Without a carry its steps do not depend on each other, so that a scan takes many at once.
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

    def scan(self, carry: Carry, xs: Array, method: Method = "auto") -> tuple[Carry, Array]:
        return self.step(carry, xs) if carry is None else lax.scan(self.step, carry, xs)

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

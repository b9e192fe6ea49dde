"""A synapse as a chain of stages: a fold over them, a step at a time or chunk by chunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Int

from spark.core.internal import compute_dtype
from spark.core.tracers import Method

from ._arguments import leading
from ._stages.base import Carry, Run, Stage
from ._stages.crossing import Crossing

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Chain(Stage):
    """Stages, each of which takes the output of the one before; itself a stage.

    Parameters, state and carry are tuples with an entry per stage.

    Attributes:
        stages: The stages: release and delay, if there are such; the projection; the recurrence
            of the traces, if there is one; and their total, if a target has several or none.
    """

    stages: tuple[Any, ...]

    def taking(self, spikes: Array) -> Chain:
        """The chain for some spikes: if they are known to be whole, none are packed to cross."""
        first, *rest = self.stages
        if not isinstance(first, Crossing) or isinstance(spikes, jax.core.Tracer):
            return self
        return Chain((first.stage, *rest)) if spikes.is_fully_replicated else self

    def begin(self, parameters: Any, state: Any) -> tuple[ChainRun, Carry]:
        begun = [
            stage.begin(*each) for stage, *each in zip(self.stages, parameters, state, strict=True)
        ]
        return ChainRun(tuple(run for run, _ in begun)), tuple(carry for _, carry in begun)

    def end(self, state: Any, carry: Carry) -> Any:
        every = zip(self.stages, state, carry, strict=True)
        return tuple(stage.end(*each) for stage, *each in every)

    def step(self, parameters: Any, state: Any, x: Array) -> tuple[Any, Array]:
        """Take one step.

        Args:
            parameters: Parameters of each stage.
            state: State of each stage.
            x: Signed spikes, of shape `(*batch, *inputs)`; with `async_spikes`,
                `(*batch, *units, *inputs)`.

        Returns:
            The state after the step, and the currents, of shape `(*batch, *units)`.
        """
        run, carry = self.begin(parameters, state)
        carry, y = run.step(carry, x)
        return self.end(state, carry), y

    def scan(
        self,
        parameters: Any,
        state: Any,
        xs: Array,
        method: Method = "auto",
        lengths: Int[Array, "*batch"] | None = None,
    ) -> tuple[Any, Array]:
        """Take one step per leading entry of `xs`.

        Args:
            parameters: As in `step`, like `state`.
            state: State of each stage.
            xs: Signed spikes, time first.
            method: How to run recurrences over time, as in `Tracer.scan`. A trace per synapse is
                sequential.
            lengths: How many steps each entry of the batch takes; None takes all. Its state then
                stays as it is, what it is given is not read, and its currents are 0.

        Returns:
            The state after the last step, and the currents of all steps.
        """
        run, carry = self.begin(parameters, state)
        if len(xs) == 0:  # no loop, of which jax.disable_jit cannot tell the output
            step = jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype)
            y = jax.eval_shape(run.step, carry, step)[1]
            return state, jnp.zeros((0, *y.shape), y.dtype)

        def loop(run: ChainRun, carry: Carry, xs: Array, lengths: Any) -> tuple[Carry, Array]:
            return run.scan(carry, xs, method, lengths)

        carry, ys = accumulate_in_float32(loop, run, carry, xs, lengths)
        return self.end(state, carry), ys


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ChainRun(Run):
    """A chain with the coefficients of its stages."""

    runs: tuple[Any, ...]

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        return self._fold(lambda run, each, x: run.step(each, x), carry, x)

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        """Take many steps: all with each stage, or chunk by chunk where that would be much."""

        def chunk(carries: tuple[Carry, Any], xs: Array) -> tuple[tuple[Carry, Any], Array]:
            carry, left = carries
            within = active = None
            if left is not None:
                active, within = within_lengths(len(xs), left), jnp.minimum(left, len(xs))
                left = left - within
            carry, ys = self._fold(
                lambda run, *each: run.scan(*each, method, within), carry, xs, active
            )
            return (carry, left), ys

        time, size = len(xs), self.chunk(len(xs))
        carries = carry, lengths
        if size >= time:
            (carry, _), ys = chunk(carries, xs)
            return carry, ys
        if size == 1 and lengths is None:
            return lax.scan(self.step, carry, xs)
        chunks = time // size
        head = xs[: chunks * size].reshape(chunks, size, *xs.shape[1:])
        carries, ys = lax.scan(chunk, carries, head)
        ys = ys.reshape(chunks * size, *ys.shape[2:])
        if time % size:
            carries, tail = chunk(carries, xs[chunks * size :])
            ys = jnp.concatenate([ys, tail])
        return carries[0], ys

    def chunk(self, time: int) -> int:
        """How many steps every stage takes at once."""
        return min(run.chunk(time) for run in self.runs)

    def _fold(
        self, take: Callable[..., Any], carry: Carry, x: Array, active: Array | None = None
    ) -> tuple[Carry, Array]:
        """Give each stage the output of the one before, 0 where an entry is not active."""
        after = []
        for run, each in zip(self.runs, carry, strict=True):
            each, x = take(run, each, silenced(x, active))
            after.append(each)
        return tuple(after), silenced(x, active)


def within_lengths(time: int, lengths: Int[Array, "*batch"]) -> Bool[Array, " time *batch"]:
    """Which of so many steps each entry of a batch takes."""
    return leading(jnp.arange(time, dtype=lengths.dtype), 1 + lengths.ndim) < lengths[None]


def silenced(x: Array, active: Bool[Array, " time *batch"] | None) -> Array:
    """Spikes or currents over time, 0 where an entry of the batch is not active."""
    if active is None:
        return x
    return jnp.where(leading(active, x.ndim), x, jnp.zeros((), x.dtype))


def accumulate_in_float32(loop: Callable[..., T], weights: Any, *rest: Any) -> T:
    """Run a loop, accumulating the cotangents of half-precision weights in float32.

    JAX adds up the cotangents of the steps of a loop in the dtype of the array, and in float16
    2048 + 1 is 2048. Weights that are differentiated are therefore widened before the loop; all
    others are read as they are, for half the memory and time.

    Args:
        loop: A pure function of arrays, `(weights, *rest) -> result`.
        weights: A tree of arrays.
        *rest: Trees of arrays.
    """
    if all(_wide(leaf) is leaf for leaf in jax.tree.leaves(weights)):
        return loop(weights, *rest)
    run = jax.custom_jvp(loop)

    def jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(primals)
        changes = jax.tree.leaves(tangents, is_leaf=lambda each: isinstance(each, SymbolicZero))
        changing = [i for i, each in enumerate(changes) if not isinstance(each, SymbolicZero)]
        first = len(jax.tree.leaves(primals[0]))

        def along(*changed: Array) -> Any:
            every = dict(enumerate(leaves)) | dict(zip(changing, changed, strict=True))
            return loop(*jax.tree.unflatten(tree, every.values()))

        at = [_wide(leaves[i]) if i < first else leaves[i] for i in changing]
        moves = [changes[i].astype(x.dtype) for i, x in zip(changing, at, strict=True)]
        return jax.jvp(along, at, moves)

    run.defjvp(jvp, symbolic_zeros=True)
    return run(weights, *rest)


def _wide(array: Array) -> Array:
    """An array of half precision in float32, any other as it is."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    wide = compute_dtype(array.dtype)
    return array if array.dtype == wide else array.astype(wide)

"""Release: spikes times the efficacy of their inputs, by a recurrence of short-term plasticity."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from spark.core.internal import clip
from spark.core.tracers import Method, Recurrence, State

from .base import Run, Stage


@dataclasses.dataclass(frozen=True)
class Release(Stage):
    """The stage: an inhibitory spike releases as any other, and counts as its negative.

    Attributes:
        recurrence: What the inputs obey; its output is the efficacy.
    """

    recurrence: Recurrence[Any]

    def begin(self, parameters: Any, state: State) -> tuple[ReleaseRun, State]:
        run, carry = self.recurrence.begin(parameters, state)
        return ReleaseRun(run), carry

    def end(self, state: State, carry: State) -> State:
        return self.recurrence.end(state, carry)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReleaseRun(Run):
    """A `Release` with the coefficients of its recurrence."""

    run: Any

    def step(self, carry: State, x: Array) -> tuple[State, Array]:
        return _released(self.run.step, carry, x)

    def scan(
        self, carry: State, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[State, Array]:
        return _released(lambda carry, xs: self.run.scan(carry, xs, method, lengths), carry, xs)


def _released(
    efficacy_of: Callable[[State, Array], tuple[State, Array]], carry: State, spikes: Array
) -> tuple[State, Array]:
    wide = carry.traces[0].dtype
    # By the sign alone, which a silent input has too: its release has a derivative.
    inhibits = None if spikes.dtype == bool else _is_negative(spikes)
    if jnp.issubdtype(spikes.dtype, jnp.integer):
        spikes = spikes.astype(wide)  # int8 has -128, but no 128
    amount = spikes if inhibits is None else jnp.where(inhibits, -spikes, spikes)
    carry, efficacy = efficacy_of(carry, amount)
    if amount.dtype != bool:
        amount = clip(amount.astype(wide), 0.0, 1.0)
    released = efficacy.astype(wide) * amount.astype(wide)
    return carry, released if inhibits is None else jnp.where(inhibits, -released, released)


def _is_negative(spikes: Array) -> Array:
    return jnp.signbit(spikes) if jnp.issubdtype(spikes.dtype, jnp.floating) else spikes < 0

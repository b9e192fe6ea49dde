"""Which targets each input reaches, where that is not all of them: rows, stored or drawn anew."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Literal, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from spark.core.internal import mix

from .factors import WORDS, Factor, decoded

Law = Literal["constant", "uniform", "normal"]
"""What drawn weights are distributed by: their parameters are a value; low and high; mean and
standard deviation."""

LAWS = get_args(Law)

HEADER = 5
"""Sizes of drawn rows before their factors and the limits of their delays."""

Adjacency: TypeAlias = tuple[Array, Array]
"""What rows are read from: `indptr` and `indices` of stored ones, words and sizes of drawn ones."""


@dataclasses.dataclass(frozen=True)
class Rows(abc.ABC):
    """Connections input by input.

    Attributes:
        inputs: Number of inputs.
        targets: Number of targets.
        weights: Number of weights that are stored, or of the parameters of those that are drawn.
        steps: How many steps there are; 1 if all connections arrive at once.
    """

    inputs: int
    targets: int
    weights: int

    steps: int = dataclasses.field(default=1, kw_only=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the sums over inputs: targets, or a ring of steps, each with all targets."""
        return (self.targets,) if self.steps == 1 else (self.steps, self.targets)

    @property
    def nowhere(self) -> int:
        """The first place after those of `shape`: what has it is added to no sum."""
        return self.steps * self.targets

    @abc.abstractmethod
    def all(
        self, adjacency: Adjacency
    ) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input of every connection, and where it leads: a place among those of `shape`."""


@dataclasses.dataclass(frozen=True)
class StoredRows(Rows):
    """Rows that are stored; their adjacency is `indptr` and `indices`.

    They are those of a CSR matrix (inputs, steps * targets): a connection leads to a target, or to
    one of those of a later step, counted step by step. Rows of one length keep of `indptr` the
    first entry alone.
    """

    def all(
        self, adjacency: Adjacency
    ) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and place of every connection, in the order of the weights."""
        indptr, indices = adjacency
        lengths = jnp.diff(indptr) if len(indptr) > 1 else self.weights // max(self.inputs, 1)
        every = jnp.arange(self.inputs, dtype=jnp.int32)
        inputs = jnp.repeat(every, lengths, total_repeat_length=self.weights)
        return inputs, indices.astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class DrawnRows(Rows):
    """Rows of one length that are never stored.

    Their adjacency is two words of a key, and sizes: their width, the number of their law, that of
    steps, the shortest delay, and how many factors weights have. There follow the words of each
    factor, and the limits of each delay in the random words of 32 bits. Targets are uniform and
    independent of each other, so that an input may reach one twice. Target, weight, delay and
    factors of a connection are a hash of key, input and place in the row: the same whenever they
    are drawn, on every backend.

    Rows may be part of larger ones, as those of one of several devices. Three words then follow the
    key: the first input, the first target, and how many targets there are to draw from. The place
    of a connection to another target is `nowhere`, so that it is added to no sum.

    Attributes:
        width: Connections of an input.
        law: What the weights are distributed by; each is linear in the parameters of the law.
        factors: What each weight is multiplied by, of kinds of distributions.

    References:
        Knight and Nowotny (2021), Nature Computational Science 1:136-142: procedural connectivity.
        Lemire (2019), ACM Transactions on Modeling and Computer Simulation 29(1):3: from random
        bits to a range by the high half of a product.
    """

    width: int
    law: Law = "uniform"
    factors: tuple[Factor, ...] = ()

    def all(
        self, adjacency: Adjacency
    ) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and place of every connection, drawn."""
        inputs = jnp.arange(self.inputs, dtype=jnp.int32)
        return jnp.repeat(inputs, self.width), self.places(adjacency, inputs).reshape(-1)

    def places(self, adjacency: Adjacency, inputs: Int[Array, " n"]) -> Int[Array, "n width"]:
        """Where the connections of some inputs lead."""
        words, _ = adjacency
        bits, elsewhere = self._bits(adjacency, inputs, 0), None
        if len(words) == 2:
            targets = _below(bits, np.uint32(self.targets))
        else:
            targets = _below(bits, words[4]) - words[3].astype(jnp.int32)
            elsewhere = (targets < 0) | (targets >= self.targets)
        if self.steps > 1:
            targets = targets + self._later(adjacency, inputs) * self.targets
        return targets if elsewhere is None else jnp.where(elsewhere, self.nowhere, targets)

    def _later(self, adjacency: Adjacency, inputs: Array) -> Array:
        """Delays of the connections of some inputs."""
        _, sizes = adjacency
        first = HEADER + WORDS * len(self.factors)
        limits = lax.bitcast_convert_type(sizes[first:], jnp.uint32)
        later = jnp.searchsorted(limits, self._bits(adjacency, inputs, 2), side="right")
        return sizes[3] + later.astype(jnp.int32)

    def basis(
        self, adjacency: Adjacency, inputs: Int[Array, " n"], wide: jnp.dtype
    ) -> Float[Array, "parameters n width"]:
        """What each parameter of the law is multiplied by in each weight of some inputs."""
        if self.law == "constant":
            found = jnp.ones((1, len(inputs), self.width), wide)
        else:
            uniform = self._uniform(adjacency, inputs, 1, wide)
            of_normal = jnp.ones_like(uniform), ndtri(uniform)
            found = jnp.stack((1 - uniform, uniform) if self.law == "uniform" else of_normal)
        for each, kind in enumerate(self.factors):
            first = HEADER + WORDS * each
            words = adjacency[1][first : first + WORDS]
            stream = lax.bitcast_convert_type(words[1], jnp.uint32)
            uniform = self._uniform(adjacency, inputs, stream, wide)
            found *= decoded(kind, words, wide).at(uniform)[None]
        return found

    def _uniform(
        self, adjacency: Adjacency, inputs: Array, stream: int | Array, wide: jnp.dtype
    ) -> Float[Array, "n width"]:
        """Numbers in (0, 1), to 23 digits."""
        bits = self._bits(adjacency, inputs, stream) >> np.uint32(9)
        return (bits.astype(wide) + 0.5) * 2.0**-23

    def _bits(self, adjacency: Adjacency, inputs: Array, stream: int | Array) -> Array:
        words, _ = adjacency
        if len(words) > 2:
            inputs = inputs + words[2].astype(inputs.dtype)
        rows = mix(mix(inputs.astype(jnp.uint32) ^ words[0]) + jnp.uint32(stream))
        places = jnp.arange(self.width, dtype=jnp.uint32)
        return mix(places[None] ^ words[1], rows[:, None])


def _below(bits: Array, limit: Any) -> Int[Array, "..."]:
    """Random bits as integers below a limit: the high half of a product, of 16 bits at a time."""
    high, low = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
    limit_high, limit_low = limit >> np.uint32(16), limit & np.uint32(0xFFFF)
    middle = high * limit_low + (low * limit_low >> np.uint32(16))
    other = low * limit_high + (middle & np.uint32(0xFFFF))
    return (high * limit_high + (middle >> np.uint32(16)) + (other >> np.uint32(16))).astype(
        jnp.int32
    )

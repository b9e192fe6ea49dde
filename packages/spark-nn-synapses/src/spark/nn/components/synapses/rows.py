"""Which targets each input reaches, where that is not all of them: rows, stored or drawn anew."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from spark.core.tracers.rounding import mix

Law = Literal["constant", "uniform", "normal"]
"""What drawn weights are distributed by: their parameters are a value; low and high; mean and
standard deviation."""

LAWS = get_args(Law)

Wires: TypeAlias = tuple[Array, ...]
"""The arrays that rows are read from."""


@dataclasses.dataclass(frozen=True)
class Rows(abc.ABC):
    """Connections input by input, each row read in parts of one width.

    Attributes:
        inputs: Number of inputs.
        targets: Number of targets.
        weights: Number of weights that are stored, or of the parameters of those that are drawn.
        width: Connections in a part.
        stored: Whether connections are stored.
    """

    inputs: int
    targets: int
    weights: int
    width: int

    stored: ClassVar[bool] = True

    @property
    def whole(self) -> bool:
        """Whether each row has one part at most."""
        return True

    def parts(self, wires: Wires, index: Array) -> Int[Array, ""] | int:
        """How many parts the row of an input has."""
        return 1

    def within(self, wires: Wires, index: Array, part: Array) -> Bool[Array, "#width"]:
        """Which connections of a part belong to the row, which may have ended."""
        return jnp.ones(1, bool)

    @abc.abstractmethod
    def reached(self, wires: Wires, index: Array, part: Array) -> Int[Array, " width"]:
        """The targets of a part; any target where the row has ended."""

    @abc.abstractmethod
    def read(
        self, wires: Wires, weights: Array, index: Array, part: Array, wide: jnp.dtype
    ) -> Float[Array, " width"]:
        """The weights of a part in a dtype; 0 where the row has ended."""

    @abc.abstractmethod
    def credit(
        self, wires: Wires, index: Array, part: Array, weights: Array, gains: Array
    ) -> Float[Array, " weights"]:
        """The transpose of `read`: weights to which gains of the weights of a part are added."""

    @abc.abstractmethod
    def all(self, wires: Wires) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of every connection, in the order of the weights."""


@dataclasses.dataclass(frozen=True)
class EvenRows(Rows):
    """Stored rows of one length. Wires: the targets, row by row."""

    def reached(self, wires: Wires, index: Array, part: Array) -> Int[Array, " width"]:
        """The targets of the row."""
        return _slice(wires[0], index * self.width, self.width).astype(jnp.int32)

    def read(
        self, wires: Wires, weights: Array, index: Array, part: Array, wide: jnp.dtype
    ) -> Float[Array, " width"]:
        """The weights of the row."""
        return _slice(weights, index * self.width, self.width).astype(wide)

    def credit(
        self, wires: Wires, index: Array, part: Array, weights: Array, gains: Array
    ) -> Float[Array, " weights"]:
        """Weights to which those gains are added."""
        return _add(weights, index * self.width, gains)

    def all(self, wires: Wires) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of every connection."""
        inputs = jnp.repeat(jnp.arange(self.inputs, dtype=jnp.int32), self.width)
        return inputs, wires[0].astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class UnevenRows(Rows):
    """Stored rows of any length. Wires: the targets, row by row, and where each row starts.

    Attributes:
        longest: Connections of the longest row.
    """

    longest: int

    @property
    def whole(self) -> bool:
        """Whether each row has one part at most."""
        return self.longest <= self.width

    def parts(self, wires: Wires, index: Array) -> Int[Array, ""] | int:
        """How many parts the row of an input has."""
        starts = wires[1]
        return -(-(starts[index + 1] - starts[index]) // self.width)

    def _find(self, wires: Wires, index: Array, part: Array) -> tuple[Array, Array]:
        """Where to read a part, and what of that belongs to it."""
        starts = wires[1]
        first = starts[index] + part * self.width
        # The last part of all would reach beyond the end.
        at = jnp.minimum(first, self.weights - self.width)
        where = at + jnp.arange(self.width, dtype=jnp.int32)
        return at, (where >= first) & (where < starts[index + 1])

    def within(self, wires: Wires, index: Array, part: Array) -> Bool[Array, "#width"]:
        """Which connections of a part belong to the row."""
        return self._find(wires, index, part)[1]

    def reached(self, wires: Wires, index: Array, part: Array) -> Int[Array, " width"]:
        """The targets of a part; any target where the row has ended."""
        at, _ = self._find(wires, index, part)
        return _slice(wires[0], at, self.width).astype(jnp.int32)

    def read(
        self, wires: Wires, weights: Array, index: Array, part: Array, wide: jnp.dtype
    ) -> Float[Array, " width"]:
        """The weights of a part; 0 where the row has ended."""
        at, there = self._find(wires, index, part)
        return jnp.where(there, _slice(weights, at, self.width).astype(wide), jnp.zeros((), wide))

    def credit(
        self, wires: Wires, index: Array, part: Array, weights: Array, gains: Array
    ) -> Float[Array, " weights"]:
        """Weights to which those gains are added that belong to the row."""
        at, there = self._find(wires, index, part)
        return _add(weights, at, jnp.where(there, gains, jnp.zeros_like(gains)))

    def all(self, wires: Wires) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of every connection."""
        rows = jnp.arange(self.inputs, dtype=jnp.int32)
        inputs = jnp.repeat(rows, jnp.diff(wires[1]), total_repeat_length=self.weights)
        return inputs, wires[0].astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class DrawnRows(Rows):
    """Rows of one length that are never stored. Wires: two words of a key.

    Targets are uniform and independent of each other, so that an input may reach one twice. Target
    and weight of a connection are a hash of key, input and place in the row: the same whenever they
    are drawn, on every backend.

    Attributes:
        law: What the weights are distributed by; each is linear in the parameters of the law.

    References:
        Knight and Nowotny (2021), Nature Computational Science 1:136-142: procedural connectivity.
        Lemire (2019), ACM Transactions on Modeling and Computer Simulation 29(1):3: from random
        bits to a range by the high half of a product.
    """

    law: Law = "uniform"

    stored: ClassVar[bool] = False

    def _bits(self, wires: Wires, index: Array, stream: int) -> Array:
        words = wires[0]
        row = mix(index.astype(jnp.uint32) ^ words[0])
        place = jnp.arange(self.width, dtype=jnp.uint32)
        return mix(place ^ words[1], mix(row + np.uint32(stream)))

    def reached(self, wires: Wires, index: Array, part: Array) -> Int[Array, " width"]:
        """The targets of the row."""
        return _below(self._bits(wires, index, 0), self.targets)

    def _basis(self, wires: Wires, index: Array, wide: jnp.dtype) -> Array:
        """What each parameter of the law adds to each weight."""
        if self.law == "constant":
            return jnp.ones((1, self.width), wide)
        # In (0, 1), to 23 digits.
        bits = self._bits(wires, index, 1) >> np.uint32(9)
        uniform = (bits.astype(wide) + 0.5) * 2.0**-23
        if self.law == "uniform":
            return jnp.stack([1 - uniform, uniform])
        return jnp.stack([jnp.ones_like(uniform), ndtri(uniform)])

    def read(
        self, wires: Wires, weights: Array, index: Array, part: Array, wide: jnp.dtype
    ) -> Float[Array, " width"]:
        """The weights of the row."""
        basis = self._basis(wires, index, wide)
        return jnp.sum(weights.astype(wide)[:, None] * basis, axis=0)

    def credit(
        self, wires: Wires, index: Array, part: Array, weights: Array, gains: Array
    ) -> Float[Array, " weights"]:
        """Parameters to which the gains of the weights are added."""
        basis = self._basis(wires, index, gains.dtype)
        return weights + jnp.sum(basis * gains[None], axis=1)

    def all(self, wires: Wires) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of every connection, drawn."""
        rows = jnp.arange(self.inputs, dtype=jnp.int32)
        targets = jax.vmap(lambda index: self.reached(wires, index, index))(rows)
        return jnp.repeat(rows, self.width), targets.reshape(-1)


@dataclasses.dataclass(frozen=True)
class DelayedRows(Rows):
    """Stored rows whose targets are places in a ring of later steps, seen from now.

    Wires: those of the rows, whose targets count `(step, target)`, and which step is now.

    Attributes:
        rows: The rows.
        steps: How many steps the ring has.
    """

    rows: Rows
    steps: int

    @property
    def whole(self) -> bool:
        """Whether each row has one part at most."""
        return self.rows.whole

    def parts(self, wires: Wires, index: Array) -> Int[Array, ""] | int:
        """How many parts the row of an input has."""
        return self.rows.parts(wires, index)

    def within(self, wires: Wires, index: Array, part: Array) -> Bool[Array, "#width"]:
        """Which connections of a part belong to the row."""
        return self.rows.within(wires, index, part)

    def reached(self, wires: Wires, index: Array, part: Array) -> Int[Array, " width"]:
        """The places of a part; any place where the row has ended."""
        return self._from_now(wires, self.rows.reached(wires, index, part))

    def _from_now(self, wires: Wires, places: Array) -> Int[Array, "..."]:
        # Counted from the end, which 32 bits hold where the sum of both may be too much for them.
        later = places - (self.targets - wires[-1] * (self.targets // self.steps))
        return jnp.where(later < 0, later + self.targets, later)

    def read(
        self, wires: Wires, weights: Array, index: Array, part: Array, wide: jnp.dtype
    ) -> Float[Array, " width"]:
        """The weights of a part."""
        return self.rows.read(wires, weights, index, part, wide)

    def credit(
        self, wires: Wires, index: Array, part: Array, weights: Array, gains: Array
    ) -> Float[Array, " weights"]:
        """Weights to which gains are added."""
        return self.rows.credit(wires, index, part, weights, gains)

    def all(self, wires: Wires) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and place of every connection."""
        inputs, places = self.rows.all(wires)
        return inputs, self._from_now(wires, places)


def _slice(array: Array, start: Array, width: int) -> Array:
    # Behind a barrier, or XLA would convert the whole of a narrower array before a loop.
    array, start = lax.optimization_barrier((array, start))
    return lax.dynamic_slice(array, (start,), (width,))


def _add(array: Array, start: Array, values: Array) -> Array:
    here = lax.dynamic_slice(array, (start,), values.shape)
    return lax.dynamic_update_slice(array, here + values, (start,))


def _below(bits: Array, limit: int) -> Int[Array, "..."]:
    """Random bits as integers below a limit: the high half of a product, of 16 bits at a time."""
    high, low = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
    limit_high, limit_low = np.uint32(limit >> 16), np.uint32(limit & 0xFFFF)
    middle = high * limit_low + (low * limit_low >> np.uint32(16))
    other = low * limit_high + (middle & np.uint32(0xFFFF))
    return (high * limit_high + (middle >> np.uint32(16)) + (other >> np.uint32(16))).astype(
        jnp.int32
    )

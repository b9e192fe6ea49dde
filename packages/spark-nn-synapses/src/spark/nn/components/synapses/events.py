"""Which inputs spike: found by their rank among the spikes, so that no silent one is visited."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, UInt32

_WORD = 32


class Events(NamedTuple):
    """The spikes of a step, as bits.

    Attributes:
        words: Which inputs spike, 32 to a word.
        ends: Number of spikes up to the end of each word.
    """

    words: UInt32[Array, " words"]
    ends: Int[Array, " words"]

    @classmethod
    def of(cls, active: Bool[Array, " inputs"]) -> Events:
        """The spikes of a step, of at least one input."""
        words = -(-len(active) // _WORD)
        bits = jnp.pad(active, (0, words * _WORD - len(active))).reshape(words, _WORD)
        values = bits.astype(jnp.uint32) << jnp.arange(_WORD, dtype=jnp.uint32)[None]
        packed = jnp.sum(values, axis=1, dtype=jnp.uint32)
        return cls(packed, jnp.cumsum(lax.population_count(packed).astype(jnp.int32)))

    @property
    def number(self) -> Int[Array, ""]:
        """How many inputs spike."""
        return self.ends[-1]

    def find(self, ranks: Int[Array, " ranks"]) -> Int[Array, " ranks"]:
        """Which inputs are the spikes of given ranks; any input beyond the last.

        Args:
            ranks: Ranks, counted from 0 in the order of the inputs.

        References:
            Knuth (2011), The Art of Computer Programming 4A, section 7.1.3: selection by halves.
        """
        which = jnp.sum(self.ends[None] <= ranks[:, None], axis=1, dtype=jnp.int32)
        which = jnp.minimum(which, len(self.words) - 1)
        word = self.words[which]
        rank = ranks - (self.ends[which] - lax.population_count(word).astype(jnp.int32))
        bit = jnp.zeros_like(rank)
        for half in (16, 8, 4, 2, 1):
            low = word & jnp.uint32((1 << half) - 1)
            below = lax.population_count(low).astype(jnp.int32)
            later = rank >= below
            rank = jnp.where(later, rank - below, rank)
            word = jnp.where(later, word >> jnp.uint32(half), low)
            bit = jnp.where(later, bit + half, bit)
        return which * _WORD + bit


def active(spikes: Array) -> Bool[Array, "..."]:
    """Where there is a spike, graded or not."""
    return spikes if spikes.dtype == bool else spikes != 0

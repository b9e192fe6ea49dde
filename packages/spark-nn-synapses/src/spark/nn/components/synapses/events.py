"""Which inputs spike: found by their rank among the spikes, so that no silent one is visited."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, UInt32

_WORD = 32

# Up to so many words, a rank is compared with all of them; among more, halves are searched.
_FEW = 64


class Events(NamedTuple):
    """The spikes of a step, as bits.

    Bit `b` of word `w` is input `b * len(words) + w`, so that words are made of whole stretches of
    inputs, side by side. What is left over has a last word of its own, input by input.

    Attributes:
        words: Which inputs spike, 32 to a word.
        ends: Number of spikes up to the end of each word.
        left: How many inputs the last word has, if it is one of those left over; else 0.
    """

    words: UInt32[Array, " words"]
    ends: Int[Array, " words"]
    left: int

    @classmethod
    def of(cls, active: Bool[Array, " inputs"]) -> Events:
        """The spikes of a step, of at least one input."""
        count, left = divmod(len(active), _WORD)
        bits = jnp.arange(_WORD, dtype=jnp.uint32)
        # No padding, which would cost more than all the rest.
        whole = active[: count * _WORD].reshape(_WORD, count).astype(jnp.uint32)
        words = jnp.sum(whole << bits[:, None], axis=0, dtype=jnp.uint32)
        if left:
            last = active[count * _WORD :].astype(jnp.uint32) << bits[:left]
            words = jnp.append(words, jnp.sum(last, dtype=jnp.uint32))
        return cls(words, jnp.cumsum(lax.population_count(words).astype(jnp.int32)), left)

    @property
    def number(self) -> Int[Array, ""]:
        """How many inputs spike."""
        return self.ends[-1]

    def find(self, ranks: Int[Array, " ranks"]) -> Int[Array, " ranks"]:
        """Which inputs are the spikes of given ranks; any input beyond the last.

        Args:
            ranks: Ranks, counted from 0.

        References:
            Knuth (2011), The Art of Computer Programming 4A, section 7.1.3: selection by halves.
        """
        if len(self.ends) <= _FEW:
            which = jnp.sum(self.ends[None] <= ranks[:, None], axis=1, dtype=jnp.int32)
        else:
            which = jnp.searchsorted(self.ends, ranks, side="right", method="scan_unrolled")
        which = jnp.minimum(which.astype(jnp.int32), len(self.words) - 1)
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
        count = len(self.words) - (self.left > 0)
        index = bit * count + which
        if self.left:
            # Beyond the last spike, a bit may be too; what is there then is an input all the same.
            last = count * _WORD + jnp.minimum(bit, self.left - 1)
            index = jnp.where(which == count, last, index)
        return index


def active(spikes: Array) -> Bool[Array, "..."]:
    """Where there is a spike, graded or not."""
    return spikes if spikes.dtype == bool else spikes != 0

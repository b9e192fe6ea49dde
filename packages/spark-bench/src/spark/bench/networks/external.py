"""External spikes: for each neuron and step a number that is Poisson distributed.

Counts follow from 32 random bits each, as the inverse of the distribution function does: the count
is the number of thresholds `round(2^32 P(at most k))` that the bits reach. So the probability of
each count is right to 2^-32. Bits are a hash of the neuron, the step and the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, UInt32
from scipy import stats

from spark.core.internal import mix

LARGEST = 40.0
"""Largest mean: counts then fit in a byte."""


class Poisson:
    """Draws of independent Poisson numbers, a mean for each range of neurons."""

    def __init__(self, means: Sequence[float], sizes: Sequence[int], seed: int) -> None:
        """Tabulate the distributions.

        Args:
            means: Mean count in a step, of each population.
            sizes: Neurons of each population.
            seed: Seed of the random bits.

        Raises:
            ValueError: If a mean is larger than `LARGEST`.
        """
        if max(means) > LARGEST:
            raise ValueError(
                f"means of Poisson counts must be at most {LARGEST:g}, got {max(means):g}."
            )
        self.sizes = tuple(sizes)
        self.thresholds = [thresholds(mean) for mean in means]
        self.words = np.asarray(jax.random.key_data(jax.random.key(seed)))

    def __call__(self, steps: UInt32[Array, " time"]) -> Int8[Array, "time neurons"]:
        """Counts of some steps.

        Args:
            steps: Numbers of the steps.
        """
        neuron = jnp.arange(sum(self.sizes), dtype=jnp.uint32)
        salt = mix((jnp.uint32(self.words[0]) ^ steps) + np.uint32(0x9E3779B9))
        stream = mix(jnp.uint32(self.words[1]) ^ salt)
        bits = mix(neuron[None] ^ stream[:, None], salt[:, None])
        counts, start = [], 0
        for size, table in zip(self.sizes, self.thresholds, strict=True):
            part = bits[:, start : start + size]
            count = jnp.zeros(part.shape, jnp.int8)
            for threshold in table:
                count += (part >= threshold).astype(jnp.int8)
            counts.append(count)
            start += size
        return jnp.concatenate(counts, axis=1)


def thresholds(mean: float) -> np.ndarray:
    """Thresholds of the bits, uint32, ascending: as many as are below 2^32.

    Args:
        mean: Mean of the distribution.
    """
    below = np.rint(2.0**32 * stats.poisson.cdf(np.arange(128), mean))
    return below[below < 2.0**32].astype(np.uint32)

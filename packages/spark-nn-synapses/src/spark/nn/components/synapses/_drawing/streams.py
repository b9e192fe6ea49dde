"""Random bits by their number, so that any part can be drawn alone: SplitMix64.

References:
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, OOPSLA: the
    finalizer, and the constant that counts.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array

UInt64 = np.ndarray[Any, np.dtype[np.uint64]]

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

COUNTS, PARTNERS, WEIGHTS, DELAYS = range(4)
"""Streams of a block."""


def root(key: Array) -> int:
    """The seed of all streams, from a concrete JAX PRNG key.

    Raises:
        ValueError: If the key is traced.
    """
    if isinstance(key, jax.core.Tracer):
        raise ValueError(
            "random connectivity is drawn outside of JAX transforms: build the synapses before, or "
            "use ProceduralConnectivity."
        )
    high, low = np.asarray(jax.random.key_data(key)).reshape(-1)[-2:].tolist()
    return int(high << 32 | low)


def at(seed: UInt64 | int, place: Any) -> UInt64:
    """Output number `place` of the generator with a seed; both broadcast."""
    with np.errstate(over="ignore"):
        place = np.asarray(place).astype(np.uint64) + np.uint64(1)
        z = np.asarray(seed, np.uint64) + place * np.uint64(GOLDEN)
        z = (z ^ z >> np.uint64(30)) * np.uint64(FIRST)
        z = (z ^ z >> np.uint64(27)) * np.uint64(SECOND)
        return z ^ z >> np.uint64(31)


def child(seed: int, place: int) -> int:
    """The seed of a generator of its own."""
    return int(at(seed, place))


def below(bits: UInt64, size: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Integers below sizes of up to 2^32, from the higher half of random bits.

    No integer is more likely than another by more than a `size / 2^32` part.
    """
    return _below(bits >> np.uint64(32), size)


def low_below(bits: UInt64, size: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """As `below`, from the lower half, which is independent of the higher one."""
    return _below(bits & np.uint64(0xFFFFFFFF), size)


def _below(half: UInt64, size: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (half * np.asarray(size).astype(np.uint64) >> np.uint64(32)).astype(np.int64)


def uniform(bits: UInt64) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers in (0, 1), to 52 digits."""
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

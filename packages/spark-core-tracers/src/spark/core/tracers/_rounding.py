"""Rounding from the compute dtype to the storage dtype: to nearest, or stochastic."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt32

from ._dtypes import compute_dtype, straight_through

Rounding = Literal["nearest", "stochastic"]
"""How the stored state is rounded where it has fewer digits than the arithmetic."""

ROUNDINGS = get_args(Rounding)


def rounded_dtype(dtype: jnp.dtype, rounding: Rounding) -> jnp.dtype:
    """The dtype whose spacing a step must overcome: stochastic rounding keeps smaller changes."""
    return dtype if rounding == "nearest" else compute_dtype(dtype)


class Noise(NamedTuple):
    """The source of random bits for stochastic rounding.

    Attributes:
        key: A JAX PRNG key, or None to round to nearest.
        steps: Steps taken so far; uint32, scalar. Each step has its own bits.
        element: Global index of each element, uint32, broadcastable to the state; None numbers the
            elements of the state in row-major order. Give it where a function sees a part of a
            state, as under `jax.shard_map`, so that the part draws the bits of the whole.
    """

    key: Array | None
    steps: UInt32[Array, ""]
    element: UInt32[Array, "..."] | None = None

    def after(self, steps: Array | int) -> Noise:
        """The noise some steps later."""
        count = np.uint32(steps) if isinstance(steps, int) else steps.astype(jnp.uint32)
        return self._replace(steps=self.steps + count)


def random_bits(noise: Noise, stream: int, shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """Random bits that depend on key, step, stream and global element, and on nothing else.

    One integer hash per element, far cheaper than `jax.random.bits`, and the same on every backend.
    For rounding, not for cryptography.

    Args:
        noise: Key, steps and elements; the key is not None.
        stream: Tells apart the arrays that are rounded in one step.
        shape: Shape of the result.

    References:
        The mixing function is the two-round xorshift-multiply hash "lowbias32" found by
        C. Wellons' hash-prospector (2018).
    """
    assert noise.key is not None
    words = jax.random.key_data(noise.key)
    first = mix((words[0] ^ noise.steps) + np.uint32(0x9E3779B9))
    second = mix((words[1] ^ first) + np.uint32(0x85EBCA6B * (stream + 1) & 0xFFFFFFFF))
    element = _row_major_index(shape) if noise.element is None else noise.element
    return jnp.broadcast_to(mix(element ^ second, first), shape)


def mix(x: UInt32[Array, "..."], salt: UInt32[Array, ""] | int = 0) -> UInt32[Array, "..."]:
    """A bijection of 32-bit integers in which every input bit reaches every output bit."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D) + jnp.uint32(salt)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _row_major_index(shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """Index of each element; iotas and products, so that a sharded array needs no gather."""
    index = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        index = index + lax.broadcasted_iota(jnp.uint32, shape, axis) * np.uint32(stride)
        stride = stride * shape[axis] & 0xFFFFFFFF
    return index


def round_to(
    dtype: jnp.dtype, y: Float[Array, "*shape"], bits: UInt32[Array, "*shape"] | None = None
) -> Float[Array, "*shape"]:
    """Round `y` to values of a narrower dtype.

    The result keeps the dtype of `y`, so that derivatives keep their digits; converting it to
    `dtype` is exact. Under differentiation this function is the identity (straight-through).

    Args:
        dtype: The dtype whose values to take.
        y: Values in the compute dtype, within the range of `dtype`.
        bits: Random bits for stochastic rounding, without bias also for subnormal values. None
            rounds to nearest, ties to even.
    """
    if dtype == y.dtype:
        return y
    if bits is None:
        return straight_through(functools.partial(_nearest, dtype))(y)
    return straight_through(functools.partial(_stochastic, dtype))(y, bits)


def round_state(
    y: Float[Array, "*shape"], dtype: jnp.dtype, noise: Noise, stream: int
) -> Float[Array, "*shape"]:
    """Round one trace of a state of `dtype`, as its noise says.

    Args:
        y: The trace in the compute dtype, within the range of `dtype`.
        dtype: Storage dtype.
        noise: Where the random bits come from, if there is a key.
        stream: Tells apart the traces that are rounded in one step.
    """
    if noise.key is None or dtype == y.dtype:
        return round_to(dtype, y)
    return round_to(dtype, y, random_bits(noise, stream, y.shape))


def _nearest(dtype: jnp.dtype, y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # Not y.astype(dtype).astype(y.dtype): XLA may drop such a pair.
    info = jnp.finfo(dtype)
    normal = lax.reduce_precision(y, info.nexp, info.nmant)
    if info.minexp == jnp.finfo(y.dtype).minexp:
        return normal
    ulp = float(info.smallest_subnormal)
    return jnp.where(jnp.abs(y) < float(info.tiny), jnp.round(y / ulp) * ulp, normal)


def _stochastic(
    dtype: jnp.dtype, y: Float[Array, "*shape"], bits: UInt32[Array, "*shape"]
) -> Float[Array, "*shape"]:
    info, compute = jnp.finfo(dtype), jnp.finfo(y.dtype)
    # Sign and magnitude: adding to the dropped bits carries away from zero
    # as often as their value says.
    dropped = np.uint32((1 << (compute.nmant - info.nmant)) - 1)
    pattern = lax.bitcast_convert_type(y, jnp.uint32) + (bits & dropped)
    kept = lax.bitcast_convert_type(pattern & ~dropped, y.dtype)
    if info.minexp != compute.minexp:
        # Below the smallest normal value the spacing no longer shrinks.
        ulp = float(info.smallest_subnormal)
        magnitude = jnp.abs(y) / ulp
        below = jnp.floor(magnitude)
        uniform = (bits >> 8).astype(y.dtype) * 2.0**-24
        steps = below + (uniform < magnitude - below).astype(y.dtype)
        kept = jnp.where(jnp.abs(y) < float(info.tiny), jnp.copysign(steps * ulp, y), kept)
    return jnp.where(jnp.isfinite(y), kept, y)

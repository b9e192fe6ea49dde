"""Spikes that cross between devices: once a step, as bits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, UInt8

from spark.core.tracers import Method

from ..partition import Partition
from .base import Carry, Run, Stage


@dataclasses.dataclass(frozen=True)
class Crossing(Stage):
    """The first stage on several devices: booleans come to it packed, eight in a byte.

    Spikes that each device has of its own neurons so reach the others in an eighth of the bytes.
    A program that each device gives all of them unpacks what it has packed, as it is compiled for
    either; a call outside of one knows, and leaves this stage out.

    Attributes:
        stage: The stage.
        partition: Which axis of the mesh cuts what.
        batch: Number of axes of the batch.
    """

    stage: Any
    partition: Partition
    batch: int

    def begin(self, parameters: Any, state: Any) -> tuple[CrossingRun, Carry]:
        run, carry = self.stage.begin(parameters, state)
        return CrossingRun(self, run), carry

    def end(self, state: Any, carry: Carry) -> Any:
        return self.stage.end(state, carry)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CrossingRun(Run):
    """A `Crossing` with the run of its stage."""

    crossing: Crossing = dataclasses.field(metadata={"static": True})
    run: Any

    def step(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        found: tuple[Carry, Array] = self.run.step(carry, self._crossed(x, 0))
        return found

    def scan(
        self, carry: Carry, xs: Array, method: Method = "auto", lengths: Array | None = None
    ) -> tuple[Carry, Array]:
        found: tuple[Carry, Array] = self.run.scan(carry, self._crossed(xs, 1), method, lengths)
        return found

    def chunk(self, time: int) -> int:
        steps: int = self.run.chunk(time)
        return steps

    def _crossed(self, x: Array, time: int) -> Array:
        """Spikes where the partition has them."""
        partition, lead = self.crossing.partition, time + self.crossing.batch
        parts = math.prod(partition.grid)
        if x.dtype != bool or x.ndim == lead or x.shape[lead] % parts:
            return x  # numbers, or what devices could not hold evenly
        front = x.shape[:lead]
        size = math.prod(x.shape[lead:]) // parts
        words = pack(x.reshape(*front, parts, size))
        # Whatever cuts the spikes that come in: what crosses are these words.
        where = partition.sharding((None,) * time + partition.spikes(self.crossing.batch, 2))
        return unpack(lax.with_sharding_constraint(words, where), size).reshape(x.shape)


def pack(bits: Bool[Array, "*front size"]) -> UInt8[Array, "*front words"]:
    """Booleans as bits of bytes: the lowest bits are the first eighth of them, and so on."""
    words = -(-bits.shape[-1] // 8)
    spare = 8 * words - bits.shape[-1]
    if spare:
        bits = jnp.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, spare)])
    eighths = bits.astype(jnp.uint8).reshape(*bits.shape[:-1], 8, words)
    packed = eighths[..., 0, :]
    for bit in range(1, 8):  # a CPU packs many words at once
        packed = packed | eighths[..., bit, :] << jnp.uint8(bit)
    return packed


def unpack(words: UInt8[Array, "*front words"], size: int) -> Bool[Array, "*front size"]:
    """The booleans that were packed, so many of them."""
    eighths = [(words >> jnp.uint8(bit) & jnp.uint8(1)).astype(bool) for bit in range(8)]
    return jnp.concatenate(eighths, axis=-1)[..., :size]

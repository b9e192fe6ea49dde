"""Inputs of a target that decay alike share a trace: each group sees the spikes of its own."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .._stages.base import Function
from .base import Kernel, Projection


@dataclasses.dataclass(frozen=True)
class Grouped(Function):
    """A projection once per group of inputs, with the groups as an axis before the targets.

    Attributes:
        projection: The projection of a group, whose last batch axis is the groups.
    """

    projection: Projection

    def apply(self, parameters: Kernel, carry: Any, x: Array) -> tuple[Any, Array]:
        inner, groups = self.projection, parameters.groups
        assert groups is not None
        at = x.ndim - len(inner.spikes_shape)
        members = jnp.arange(inner.batch[-1], dtype=groups.dtype)[:, None] == groups[None]
        each = (1,) * (len(inner.spikes_shape) - len(inner.inputs))  # of the targets, if any
        members = members.reshape(*(1,) * at, -1, *each, *inner.inputs)
        seen = jnp.where(members, jnp.expand_dims(x, at), jnp.zeros((), x.dtype))
        return inner.apply(parameters, carry, seen)

    def chunk(self, parameters: Kernel, time: int) -> int:
        """As few steps as keep the spikes of all groups in the cache."""
        spikes = math.prod(self.projection.spikes_shape)
        return self.projection.limited(parameters, time, spikes)

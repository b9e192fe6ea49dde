"""Total: the sum of the traces of each target and its base, in the dtype of currents."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from spark.core.internal import CheckedModule, as_parameter, compute_dtype, require_base

from .base import Function, saturated


@dataclasses.dataclass(frozen=True)
class Total(Function):
    """The stage; its parameter is the base, or None.

    Attributes:
        several: Number of axes before those of the targets that are summed over.
        units: Shape of the targets.
        dtype: Dtype of the currents.
    """

    several: int
    units: tuple[int, ...]
    dtype: jnp.dtype

    def apply(
        self, base: Array | None, carry: None, traces: Float[Array, "*front *several *units"]
    ) -> tuple[None, Float[Array, "*front *units"]]:
        if self.several:
            last = traces.ndim - len(self.units)
            wide = compute_dtype(self.dtype)
            traces = jnp.sum(traces.astype(wide), axis=tuple(range(last - self.several, last)))
            if base is not None:
                traces = traces + jnp.broadcast_to(base.astype(wide), traces.shape)
        return None, saturated(traces, self.dtype)


class Base(CheckedModule):
    """The holder: the base of targets that have several traces, added to their sum.

    Attributes:
        base: A scalar or of shape `units`; None without.
        state: None.
    """

    base: nnx.Variable[Array] | None
    state: None = None

    def __init__(
        self,
        stage: Total,
        base: Any = None,
        limits: tuple[float, float] = (-math.inf, math.inf),
        kind: type[nnx.Variable[Any]] = nnx.Variable,
        name: str = "base",
    ) -> None:
        """Keep a base, once it is checked.

        Args:
            stage: The stage that it is a parameter of.
            base: The base; None keeps none.
            limits: The range of a trace.
            kind: The Flax variable to keep it in.
            name: What an error calls it.
        """
        self.stage, self.limits = stage, limits
        self.base = nnx.data(None if base is None else kind(self._checked(name, base)))

    def _checked_value(self, name: str, value: Any) -> Array | None:
        return self._checked(name, value) if name == "base" else None

    def _checked(self, name: str, value: Any) -> Array:
        given = value.get_value() if isinstance(value, nnx.Variable) else value
        checked = as_parameter(name, given, self.stage.units, self.stage.dtype)
        require_base(checked, self.limits, self.stage.dtype)
        return jnp.asarray(checked.kept)

    @property
    def parameters(self) -> Array | None:
        """The base."""
        return None if self.base is None else self.base.get_value()

    def set_state(self, state: None) -> None:
        """There is none."""

    def reset(self) -> None:
        """Nothing changes from step to step."""

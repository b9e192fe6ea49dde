"""Total: the sum of the traces of each target and its base, in the dtype of currents."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from spark.core.internal import CheckedModule, as_parameter, compute_dtype, require_base
from spark.core.tracers import Constant

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


@dataclasses.dataclass(frozen=True)
class TotalOfConnections(Total):
    """The stage where each connection has a trace; its parameters are the base, and the targets.

    `several` counts the axes of the traces, and the targets are those of the traces, of shape
    `(inputs, width)`; beyond the end of a row the number of targets, which are added to none.
    """

    def apply(
        self, parameters: Any, carry: None, traces: Float[Array, "*front *several"]
    ) -> tuple[None, Float[Array, "*front *units"]]:
        base, targets = parameters
        sums = self.summed(targets, traces)
        base = jnp.broadcast_to(base.astype(sums.dtype), sums.shape)
        return None, saturated(sums + base, self.dtype)

    def summed(self, targets: Array, traces: Array) -> Array:
        """The traces of each target added up, in the arithmetic dtype."""
        front = traces.shape[: traces.ndim - self.several]
        wide = compute_dtype(self.dtype)
        flat = traces.astype(wide).reshape(*front, targets.size)
        sums = jnp.zeros((*front, math.prod(self.units)), wide)
        added = sums.at[..., targets.reshape(-1)].add(flat, mode="drop")
        return added.reshape(*front, *self.units)


class Base(CheckedModule):
    """The holder: the base of targets that have several traces, added to their sum.

    Attributes:
        base: A scalar or of shape `units`; None without.
        targets: Target of each trace, where connections have traces; None where targets have.
        state: None.
    """

    base: nnx.Variable[Array] | None
    targets: Constant | None
    state: None = None

    def __init__(
        self,
        stage: Total,
        base: Any = None,
        limits: tuple[float, float] = (-math.inf, math.inf),
        kind: type[nnx.Variable[Any]] = nnx.Variable,
        name: str = "base",
        targets: Any = None,
    ) -> None:
        """Keep a base, once it is checked.

        Args:
            stage: The stage that it is a parameter of.
            base: The base; None keeps none.
            limits: The range of a trace.
            kind: The Flax variable to keep it in.
            name: What an error calls it.
            targets: Target of each trace, where connections have traces.
        """
        self.stage, self.limits = stage, limits
        self.base = nnx.data(None if base is None else kind(self._checked(name, base)))
        self.targets = nnx.data(None if targets is None else Constant(jnp.asarray(targets)))

    def _checked_value(self, name: str, value: Any) -> Array | None:
        return self._checked(name, value) if name == "base" else None

    def _checked(self, name: str, value: Any) -> Array:
        given = value.get_value() if isinstance(value, nnx.Variable) else value
        checked = as_parameter(name, given, self.stage.units, self.stage.dtype)
        require_base(checked, self.limits, self.stage.dtype)
        return jnp.asarray(checked.kept)

    @property
    def parameters(self) -> Any:
        """The base; and the targets, if connections have traces."""
        base = None if self.base is None else self.base.get_value()
        return base if self.targets is None else (base, self.targets.get_value())

    def set_state(self, state: None) -> None:
        """There is none."""

    def reset(self) -> None:
        """Nothing changes from step to step."""

"""The loop of a network: synapses called once a step, within one compiled program."""

from __future__ import annotations

from typing import Any, Literal

import jax
from flax import nnx
from jax import lax

from spark.core.tracers import TraceState
from spark.nn.components.synapses import DelayState, LinearSynapses

from ..case import Program

MOVING = (TraceState, DelayState, nnx.RngCount)
"""The variables that the loop carries: a kernel that is carried would be copied where XLA cannot
share it."""


def loop(
    synapses: LinearSynapses, xs: jax.Array, keep: Literal["every", "last"] = "every"
) -> Program:
    """Steps of synapses that are built.

    Args:
        synapses: Synapses; each call starts from their present state.
        xs: Spikes, time first.
        keep: Whether to return the currents of every step, or of the last one.
    """
    parts: Any = nnx.split(synapses, MOVING, ...)
    definition, moving, fixed = parts
    # A slice within the program would copy all spikes.
    before, last = (xs, xs[-1]) if keep == "every" else (xs[:-1], xs[-1])

    @jax.jit
    def run(moving: Any, fixed: Any, before: jax.Array, last: jax.Array) -> jax.Array:
        def step(moving: Any, x: jax.Array) -> tuple[Any, Any]:
            synapses = nnx.merge(definition, moving, fixed)
            currents = synapses(x).value
            return nnx.state(synapses, MOVING), currents if keep == "every" else None

        moved, every = lax.scan(step, moving, before)
        if keep == "every":
            return every
        return nnx.merge(definition, moved, fixed)(last).value

    return lambda: run(moving, fixed, before, last)

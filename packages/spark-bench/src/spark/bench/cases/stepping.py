"""The loop of a network: synapses called once a step, within one compiled program."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from spark.core.tracers import TraceState
from spark.nn.components.synapses import DelayState, LinearSynapses

from ..case import Program

MOVING = (TraceState, DelayState, nnx.RngCount)
"""The variables that the loop carries: a kernel that is carried would be copied where XLA cannot
share it."""


def loop(
    synapses: LinearSynapses, xs: jax.Array, keep: Literal["every", "last", "sum"] = "every"
) -> Program:
    """Steps of synapses that are built.

    Args:
        synapses: Synapses; each call starts from their present state.
        xs: Spikes, time first.
        keep: Whether to return the currents of every step, of the last one, or summed over steps.
    """
    parts: Any = nnx.split(synapses, MOVING, ...)
    definition, moving, fixed = parts
    # A slice within the program would copy all spikes.
    before, last = (xs[:-1] if keep == "last" else xs), xs[-1]
    shape = synapses.batch + synapses.config.units

    @jax.jit
    def run(moving: Any, fixed: Any, before: jax.Array, last: jax.Array) -> jax.Array:
        def step(carry: Any, x: jax.Array) -> tuple[Any, Any]:
            moving, total = carry
            synapses = nnx.merge(definition, moving, fixed)
            currents = synapses(x).value
            total = total + currents if keep == "sum" else total
            return (nnx.state(synapses, MOVING), total), currents if keep == "every" else None

        (moved, total), every = lax.scan(step, (moving, jnp.zeros(shape)), before)
        if keep != "last":
            return every if keep == "every" else total
        return nnx.merge(definition, moved, fixed)(last).value

    return lambda: run(moving, fixed, before, last)

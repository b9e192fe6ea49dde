"""From parts of a network to rows of connections, with weights and delays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.internal import as_storage_dtype, smallest
from spark.nn.initializers import Distribution

from .._connect import Connections, NumPyArray, stored_rows
from ..delays import as_steps
from .lines import Drawn, Lines, Span, draw
from .streams import child, root


class Part(NamedTuple):
    """Connections between a part of the inputs and a part of the targets.

    Attributes:
        rule: What they are drawn by.
        pre: The first input and the one after the last.
        post: The first target and the one after the last.
        weights: A number for all, a distribution, or None.
        delays: Likewise, in the unit of the time step.
        name: What an error calls it.
    """

    rule: Any
    pre: Span
    post: Span
    weights: Distribution | float | None = None
    delays: Distribution | float | None = None
    name: str = ""


def assemble(
    parts: Sequence[Part], inputs: int, targets: int, key: Array, dt: float, dtype: str
) -> Connections:
    """Draw parts of a network and lay them out in rows.

    Args:
        parts: The parts; all of them have weights, or none.
        inputs: Number of inputs.
        targets: Number of targets.
        key: JAX PRNG key, concrete.
        dt: Time step.
        dtype: Dtype of the weights.

    Raises:
        ValueError: If a rule cannot be kept, a delay is no multiple of the time step, or weights
            are lost in their dtype; the message begins with the name of the part.
    """
    seed, storage = root(key), as_storage_dtype(dtype)
    blocks = [_lines(part, child(seed, number), dt) for number, part in enumerate(parts)]
    drawn = [draw(block) for block in blocks]
    weights = None
    if parts[0].weights is not None:
        weights = np.concatenate(
            [_kept(part, each, storage) for part, each in zip(parts, drawn, strict=True)]
        )
    pre, post, steps = (np.concatenate([each[i] for each in drawn]) for i in range(3))
    order = np.lexsort((post, steps, pre))
    rows, adjacency = stored_rows(pre[order], post[order], inputs, targets, steps[order])
    ordered = None if weights is None else weights[order]
    return Connections(rows, adjacency, ordered, drawn=weights is not None)


def _lines(part: Part, key: int, dt: float) -> Lines:
    """A part in numbers."""
    try:
        lines = part.rule.draw(part.pre, part.post, key)
        delays: Any = 0
        if isinstance(part.delays, Distribution):
            law = part.delays.inverse
            low, high = law.low / dt, law.high / dt
            if law.exponential:
                law = law._replace(shift=law.shift - np.log(dt))
            else:
                law = law._replace(shift=law.shift / dt, scale=law.scale / dt)
            delays = law._replace(low=low, high=high)
        elif part.delays is not None:
            delays = int(as_steps("delays", part.delays, dt))
    except ValueError as error:
        raise ValueError(f"{part.name}{error}") from None
    weights = part.weights.inverse if isinstance(part.weights, Distribution) else part.weights
    return dataclasses.replace(lines, weights=weights, delays=delays)


def _kept(part: Part, drawn: Drawn, dtype: jnp.dtype) -> NumPyArray:
    """Weights in their dtype; of random ones, what is too near to 0 becomes the number next to it.

    Raises:
        ValueError: If one is not finite there, or they are lost as a whole.
    """
    given = drawn.weights
    assert given is not None
    least = smallest(dtype)
    with np.errstate(over="ignore", under="ignore"):
        wide = given.astype(np.promote_types(dtype, np.float32) if dtype.itemsize > 2 else "f4")
        kept: NumPyArray = wide.astype(dtype)
    lost = (given != 0) & (np.abs(kept.astype(wide.dtype)) < least)
    if lost.any() and (not isinstance(part.weights, Distribution) or 2 * lost.sum() > lost.size):
        raise ValueError(
            f"{part.name}weights must be 0 or at least {least:.3g} in {dtype}, got "
            f"{given[lost][0]:g}: choose a smaller unit, such as pA instead of A, or a wider "
            "kernel_dtype."
        )
    kept[lost] = np.copysign(least, given[lost])
    return kept

"""From parts of a network to rows of connections, with weights and delays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import ndtri

from spark.core.internal import as_storage_dtype, compute_dtype, smallest
from spark.nn.initializers import Distribution
from spark.nn.initializers.distributions import Inverse

from .._connect import Connections, Laid, laid_out, require_countable
from ..delays import as_steps
from . import engine_for, freeze
from .lines import Lines, Span, Window, draw
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


class Plan(NamedTuple):
    """Parts of a network before any connection of theirs is drawn.

    Attributes:
        blocks: Their lines.
        size: Number of connections of all.
        dtype: Dtype of the weights, as they are stored.
        drawn: Whether weights are random.
    """

    blocks: list[Lines]
    size: int
    dtype: jnp.dtype
    drawn: bool

    def begin(self, *windows: Window) -> list[Any]:
        """Count the connections between some inputs and some targets, each for `draw`.

        The engine counts those of each window. NumPy draws all connections, once for all windows,
        and keeps those within each.
        """
        least = smallest(self.dtype)
        engine = engine_for(self.size)
        if engine is not None:
            return [engine.count_rows(self.blocks, each, least) for each in windows]
        return _draw_plainly(self.blocks, windows, compute_dtype(self.dtype), least)

    def draw(self, begun: Any, room: int) -> Laid:
        """Lay out connections that were counted, in arrays of so many; nothing is set beyond."""
        return filled(begun, self.dtype, room)


def filled(begun: Any, dtype: jnp.dtype, room: int) -> Laid:
    """Connections that were counted, in arrays of so many, with weights in their dtype."""
    found: Laid = begun.fill(compute_dtype(dtype), room)
    if found.weights is not None:
        with np.errstate(over="ignore"):  # told from the other weights later
            found = found._replace(weights=found.weights.astype(dtype, copy=False))
    return found


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
    plan = planned(parts, targets, key, dt, dtype)
    (begun,) = plan.begin((0, inputs, 0, targets))
    found = plan.draw(begun, plan.size)
    for each in (found.places, found.weights):
        if each is not None:
            freeze(each)
    return found.connections(targets, plan.drawn)


def planned(parts: Sequence[Part], targets: int, key: Array, dt: float, dtype: str) -> Plan:
    """What is drawn by the rules of some parts; as `assemble`, which raises the same."""
    seed, storage = root(key), as_storage_dtype(dtype)
    blocks = []
    for number, part in enumerate(parts):
        try:
            lines = part.rule.draw(part.pre, part.post, child(seed, number))
            delays = _in_steps(part.delays, dt)
            _require_kept(part.weights, storage)
        except ValueError as error:
            raise ValueError(f"{part.name}{error}") from None
        weights = part.weights.inverse if isinstance(part.weights, Distribution) else part.weights
        blocks.append(dataclasses.replace(lines, weights=weights, delays=delays))
    count = sum(int(block.counts.sum()) for block in blocks)
    steps = 1 + max(_longest(block.delays) for block in blocks)
    require_countable(count, steps * targets)
    drawn = any(isinstance(part.weights, Distribution) for part in parts)
    return Plan(blocks, count, storage, drawn)


def _in_steps(delays: Distribution | float | None, dt: float) -> Inverse | int:
    """Delays in steps: a distribution of numbers that are yet to be rounded, or a number."""
    if not isinstance(delays, Distribution):
        return 0 if delays is None else int(as_steps("delays", delays, dt))
    law = delays.inverse._replace(low=delays.inverse.low / dt, high=delays.inverse.high / dt)
    if law.exponential:
        return law._replace(shift=law.shift - float(np.log(dt)))
    return law._replace(shift=law.shift / dt, scale=law.scale / dt)


def _longest(delays: Inverse | float) -> int:
    """The longest delay that can be drawn."""
    if not isinstance(delays, Inverse):
        return int(delays)
    return int(np.floor(delays.at(np.array([2.0**-53, 1 - 2.0**-53]), ndtri, np).max() + 0.5))


def _require_kept(weights: Distribution | float | None, dtype: jnp.dtype) -> None:
    """Raise an error if weights count as 0 or inf in their dtype, but for some that are drawn."""
    some: Any = weights or 0.0
    if isinstance(weights, Distribution):
        some = weights.inverse.at(np.array([0.1, 0.5, 0.9]), ndtri, np)
    largest, least, most = float(np.abs(some).max()), smallest(dtype), float(jnp.finfo(dtype).max)
    if 0 < largest < least:
        raise ValueError(
            f"weights must be 0 or at least {least:.3g} in {dtype}, got {largest:.3g}: choose a "
            "smaller unit, such as pA instead of A, or a wider kernel_dtype."
        )
    if largest > most:
        raise ValueError(
            f"weights must be at most {most:.6g} in {dtype}, got {largest:.3g}: choose a larger "
            "unit or a wider kernel_dtype."
        )


class Plain(NamedTuple):
    """As `engine.Begun`, of connections that are laid out already."""

    laid: Laid

    @property
    def size(self) -> int:
        """Number of connections."""
        return len(self.laid.places)

    def fill(self, dtype: Any, room: int) -> Laid:
        """The connections, of the same dtypes; arrays have room for so many."""
        starts, places, weights = self.laid
        if weights is not None:
            weights = np.resize(weights.astype(dtype, copy=False), room)
        return Laid(starts, np.resize(places.astype(np.uint32), room), weights)


def _draw_plainly(
    blocks: Sequence[Lines], windows: Sequence[Window], dtype: Any, least: float
) -> list[Plain]:
    """As `engine.count_rows` of each window, in NumPy."""
    drawn = [draw(block) for block in blocks]
    pre, post, steps = (np.concatenate([each[i] for each in drawn]) for i in range(3))
    weights = None
    if blocks[0].weights is not None:
        weights = np.concatenate([each.weights for each in drawn])
        with np.errstate(over="ignore"):
            magnitude = np.where(weights == 0, 0, np.maximum(np.abs(weights), least))
            weights = np.copysign(magnitude, weights).astype(dtype)
    found = []
    for i, j, k, m in windows:
        kept = (i <= pre) & (pre < j) & (k <= post) & (post < m)
        own = None if weights is None else weights[kept]
        laid = laid_out(pre[kept] - i, post[kept] - k, j - i, m - k, steps[kept], own)
        found.append(Plain(laid))
    return found

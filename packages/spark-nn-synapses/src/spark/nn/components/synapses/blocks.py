"""`BlockConnectivity`: a network of several blocks of connections in one synapse object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from jaxtyping import Array
from pydantic import PlainValidator, model_validator

from spark.core.internal import show
from spark.nn.configs import Config
from spark.nn.initializers.distributions import Distributed

from ._by_device import laid_out_by_device
from ._connect import Connections
from ._drawing.assemble import Part, assemble, planned
from .connectivity import Connectivity, as_connectivity
from .delays import require_delays
from .partition import Partition
from .rules import Rule


def _as_rule(value: Any) -> Rule:
    found = as_connectivity(value) if isinstance(value, Mapping) else value
    if not isinstance(found, Rule):
        names = ", ".join(each.__name__ for each in Rule.__subclasses__())
        raise ValueError(f"must be one of {names}; got {show(value)}.")
    return found


def _as_part(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        start, stop = (int(each) if each == int(each) else None for each in value)
        if start is not None and stop is not None and 0 <= start < stop:
            return start, stop
    except (TypeError, ValueError):
        pass
    raise ValueError(f"must be (start, stop) with 0 <= start < stop, or None; got {show(value)}.")


_Span = Annotated[tuple[int, int] | None, PlainValidator(_as_part)]


class Block(Config):
    """Connections between a part of the inputs and a part of the targets.

    Attributes:
        rule: What they are drawn by: `OneToOne`, `AllToAll`, `RandomConnectivity`, `FixedInDegree`,
            `FixedFanOut` or `FixedTotal`. An `in_degree` is that within the block, and so on.
        pre: First input of the block and the one after its last, counted in row-major order; None
            for all inputs.
        post: First target of the block and the one after its last, likewise.
        weights: Weight of each connection: a number, or a distribution (`Uniform`, `Normal`,
            `LogNormal`), in pA by convention; None leaves the weights of all blocks to
            `kernel_initializer`.
        delays: Delay of each connection, in the unit of the time step: a number, which is a whole
            multiple of it, or a distribution of numbers >= 0. What is drawn is rounded to the
            nearest step, and half a step upwards: a delay below half a step is none. None is no
            delay.
    """

    rule: Annotated[Rule, PlainValidator(_as_rule)]
    pre: _Span = None
    post: _Span = None
    weights: Distributed | None = None
    delays: Distributed | None = None

    @model_validator(mode="after")
    def _require_delays(self) -> Self:
        require_delays(self.delays)
        return self


def _as_blocks(value: Any) -> tuple[Block, ...]:
    try:
        found = tuple(Block(**each) if isinstance(each, Mapping) else each for each in value)
    except TypeError:
        found = ()
    if not found or not all(isinstance(each, Block) for each in found):
        raise ValueError(f"must be a sequence of one Block or more; got {show(value)}.")
    return found


class BlockConnectivity(Connectivity):
    """Blocks of connections between parts of the inputs and of the targets; stored.

    Each block is drawn on its own: what is drawn depends on the seed, the number of the block, and
    the numbers of inputs and targets. Blocks may overlap: their connections add up. The kernel
    holds a weight per connection, in the order of inputs, then of delays, then of targets.

    Attributes:
        blocks: The blocks; all of them have weights, or none.

    Example:
        >>> import numpy as np
        >>> from spark.nn.components.synapses import (
        ...     Block, BlockConnectivity, FixedInDegree, LinearSynapses, Normal, Uniform
        ... )
        >>> excitatory = Block(
        ...     rule=FixedInDegree(in_degree=80), pre=(0, 800), weights=Normal(mean=20.0, std=2.0),
        ...     delays=Uniform(low=1.0, high=3.0)
        ... )
        >>> inhibitory = Block(
        ...     rule=FixedInDegree(in_degree=20), pre=(800, 1000), weights=-80.0, delays=1.0
        ... )
        >>> connectivity = BlockConnectivity(blocks=[excitatory, inhibitory])
        >>> synapses = LinearSynapses(units=1000, connectivity=connectivity, dtype="float32")
        >>> synapses(np.ones(1000, bool)).shape
        (1000,)
        >>> synapses.kernel.shape
        (100000,)
    """

    kind: Literal["blocks"] = "blocks"
    blocks: Annotated[tuple[Block, ...], PlainValidator(_as_blocks)]

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [each.weights is not None for each in self.blocks]
        if any(given) and not all(given):
            raise ValueError(
                "blocks must all have weights, or none; there are none in "
                f"blocks[{given.index(False)}]"
            )
        return self

    @property
    def delayed(self) -> bool:
        """Whether a block has delays."""
        return any(each.delays is not None for each in self.blocks)

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections, with a time step of 1; see `Connectivity`."""
        return self.lay_out(inputs, targets, key, 1.0, "float32")

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        return assemble(self._parts(inputs, targets), inputs, targets, key, dt, dtype)

    def lay_out_by_device(
        self, inputs: int, targets: int, key: Array, dt: float, dtype: str, partition: Partition
    ) -> Connections | None:
        """Lay out the connections of the devices of this process alone, if they have weights.

        Args:
            inputs: As in `lay_out`.
            targets: As in `lay_out`.
            key: As in `lay_out`.
            dt: As in `lay_out`.
            dtype: As in `lay_out`.
            partition: Which device has what.

        Returns:
            The connections; None where they have to be laid out as a whole.

        Raises:
            ValueError: As `lay_out`.
        """
        if any(block.weights is None for block in self.blocks):
            return None  # an initializer draws those of all
        plan = planned(self._parts(inputs, targets), targets, key, dt, dtype)
        return laid_out_by_device(plan, inputs, targets, partition)

    def _parts(self, inputs: int, targets: int) -> list[Part]:
        """The blocks, once their spans are known to fit."""
        parts = []
        for number, block in enumerate(self.blocks):
            name = f"blocks[{number}]: "
            pre, post = block.pre or (0, inputs), block.post or (0, targets)
            for what, span, size, of in (
                ("pre", pre, inputs, "inputs"),
                ("post", post, targets, "targets"),
            ):
                if span[1] > size:
                    raise ValueError(
                        f"{name}{what} must end at {size} at most, the number of {of}; got {span}."
                    )
            parts.append(Part(block.rule, pre, post, block.weights, block.delays, name))
        return parts

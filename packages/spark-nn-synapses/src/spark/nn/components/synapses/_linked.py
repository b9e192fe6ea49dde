"""`LinkedModule`: the holders of the stages of a chain as one module."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jaxtyping import Array, ArrayLike

from spark.core.internal import CheckedModule
from spark.core.tracers import BaseTracer

from ._arguments import as_mask, leading
from ._assignment import require_assignable
from ._chain import Chain
from ._matrix import Matrix
from ._stages.delay import DelayLine
from ._stages.total import Base


class LinkedModule(CheckedModule):
    """A chain, and the link of each of its stages; `Synapses` lists these attributes.

    Each link has `parameters`, `state`, `set_state` and `reset`, as a tracer has, and holds the
    arrays of one stage.
    """

    config: Any
    chain: Chain | None
    batch: tuple[int, ...]
    release_tracer: BaseTracer | None
    delay_line: DelayLine | None
    matrix: Matrix | None
    current_tracer: BaseTracer | None
    total: Base | None

    @property
    def weights(self) -> nnx.Param[Array] | None:
        """The kernel as the projection reads it, a variable: see `Matrix`. None before `build`."""
        return None if self.matrix is None else self.matrix.weights

    @weights.setter
    def weights(self, weights: Any) -> None:
        if self.matrix is None:
            require_assignable(self, "weights", weights)
        else:
            self.matrix.weights = weights

    @property
    def gains(self) -> dict[str, nnx.Variable[Array]]:
        """Scales that vary over inputs, by name, as they multiply the weights."""
        return {} if self.matrix is None else self.matrix.gains

    @property
    def base(self) -> nnx.Variable[Array] | None:
        """The base that is added once per target with several traces, a variable; or None."""
        return None if self.total is None else self.total.base

    @base.setter
    def base(self, base: Any) -> None:
        if self.total is None or self.total.base is None:
            require_assignable(self, "base", base)
        else:
            self.total.base = base

    def _require_assignable(self, name: str, value: Any) -> None:
        if "config" in vars(self):
            require_assignable(self, name, value)

    @property
    def links(self) -> tuple[Any, ...]:
        """The holders of the stages of the chain, in their order."""
        before, after = (self.release_tracer, self.delay_line), (self.current_tracer, self.total)
        return tuple([each for each in (*before, self.matrix, *after) if each is not None])

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Parameters of each stage, for the methods of `chain`."""
        return tuple([link.parameters for link in self.links])

    @property
    def state(self) -> tuple[Any, ...]:
        """State of each stage, for the methods of `chain`."""
        return tuple([link.state for link in self.links])

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take over a state that a method of `chain` returned."""
        for link, each in zip(self.links, state, strict=True):
            link.set_state(each)

    def reset(self) -> None:
        """Put every trace to rest, and forget pending spikes and sums.

        Kernel and random numbers stay as they are.
        """
        for link in self.links:
            link.reset()

    def masked_reset(self, mask: ArrayLike) -> None:
        """Put every trace to rest, and forget pending spikes and sums, in some entries of a batch.

        Args:
            mask: Boolean, broadcastable to the batch axes given to `build`. Where it is false, no
                bit changes.

        Raises:
            TypeError: If `mask` is not boolean.
            ValueError: If `mask` does not broadcast to the batch axes.
            RuntimeError: If the module is not built.
        """
        matrix, batch = self._built(), as_mask(mask, self.batch)
        for tracer in (self.release_tracer, self.current_tracer):
            if tracer is not None:
                tracer.masked_reset(leading(batch, len(tracer.shape)))
        if self.delay_line is not None:
            self.delay_line.masked_reset(leading(batch, batch.ndim + 1))
        if matrix.pending is not None:
            matrix.pending.masked_reset(leading(batch, matrix.pending.slots.get_value().ndim))

    def _built(self) -> Matrix:
        if self.matrix is None:
            raise RuntimeError(
                f"{type(self).__name__} has no kernel before it is built: call "
                "build({'spikes': InputSpec(shape)})."
            )
        return self.matrix

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
from ._own_saved import described_traces, of_other_places
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

    @property
    def layout(self) -> list[int] | None:
        """Over how many devices connections are laid out, or None: see `Matrix`."""
        return None if self.matrix is None else self.matrix.layout

    @property
    def described_arrays(self) -> dict[str, str | None]:
        """Dtypes and shapes as a checkpoint compares them: those without a partition."""
        if self.matrix is None:
            return {}
        described = self.matrix.described_arrays
        about = {f"matrix.{name}": text for name, text in described.items()}
        if self.matrix.own and self.total is not None and self.total.targets is not None:
            assert self.current_tracer is not None
            about |= described_traces(self.matrix, self.current_tracer, self.total)
        return about

    def relaid(self, arrays: dict[str, Any], layout: list[int] | None) -> dict[str, Any]:
        """Arrays of a checkpoint in another layout, or with other connections, in this one's."""
        matrix = self._built()
        grid = (1, 1) if layout is None else (layout[0], layout[1])
        if matrix.ends:
            return of_other_places(arrays, grid, matrix, self.current_tracer, self.total)
        return {**arrays, "matrix": matrix.of_other_grid(arrays["matrix"], grid)}

    def _built(self) -> Matrix:
        if self.matrix is None:
            raise RuntimeError(
                f"{type(self).__name__} has no kernel before it is built: call "
                "build({'spikes': InputSpec(shape)})."
            )
        return self.matrix

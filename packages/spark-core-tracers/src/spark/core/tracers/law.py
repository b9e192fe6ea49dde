"""The law of a tracer: its stages, its coefficients, and how one step moves them."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._time import as_dt
from .arguments import as_bounds, fit
from .coefficients import Parameter, Steps
from .maps import Relaxation, clip
from .rounding import Noise, arithmetic_dtype, limit, round_state, round_to

P = TypeVar("P", bound=tuple[Any, ...])
"""Parameters of a law: a named tuple of `Parameter`."""

Traces: TypeAlias = tuple[Float[Array, "*shape"], ...]
"""One array per stage."""


class State(NamedTuple):
    """What a recurrence carries from step to step.

    Attributes:
        traces: One array per stage, all of one shape and dtype.
        noise: Where stochastic rounding draws from; counts the steps.
    """

    traces: Traces
    noise: Noise


@dataclasses.dataclass(frozen=True)
class Law(abc.ABC, Generic[P]):
    """A chain of stages, each relaxing to its base, driven by the input or by the stage before.

    A law holds no arrays: it hashes by its options, and its methods are pure. A kind of tracer says
    what its coefficients are, how each stage moves and what comes out; how a step is taken and
    rounded is written here, once, and how steps are run over time in `Recurrence`.

    Attributes:
        dt: Time step, in the unit of the time constants.
    """

    dt: float

    parameters: ClassVar[type[Any]]
    """The named tuple of the parameters."""

    time_constants: ClassVar[tuple[str, ...]]
    """Which parameters are time constants."""

    probabilities: ClassVar[tuple[str, ...]] = ()
    """Which parameters lie in [0, 1]."""

    bases: ClassVar[tuple[str, ...]] = ()
    """Which parameters are values at rest."""

    traces: ClassVar[tuple[str, ...]]
    """Name of the trace of each stage."""

    natural_range: ClassVar[tuple[float, float] | None] = None
    """Range that a step never leaves, in exact arithmetic and in `move`; composed steps may."""

    def __post_init__(self) -> None:
        """Refuse a time step that is not one, and keep it as a float64."""
        object.__setattr__(self, "dt", as_dt(self.dt))

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[float, float] | None:
        """Range that each trace is clipped to after its update; None does not clip."""

    @abc.abstractmethod
    def rest(self, parameters: P) -> tuple[Parameter, ...]:
        """Value at rest of each trace, broadcastable to the state."""

    @abc.abstractmethod
    def coefficients(self, parameters: P, steps: Steps = 1) -> Any:
        """Coefficients of a step, or of several with no input before the end of the last.

        Args:
            parameters: Arrays of rank 0 or of the rank of the state, in the arithmetic dtype.
            steps: Number of steps, broadcastable against the parameters.
        """

    @abc.abstractmethod
    def relaxation(self, stage: int, k: Any, x: Array, before: Any, after: Any) -> Relaxation:
        """The map that takes a stage through a step.

        Args:
            stage: Number of the stage, from 0.
            k: The coefficients.
            x: Input, in the arithmetic dtype, broadcastable to the state.
            before: Trace of the stage before this one, at the start of the step.
            after: The same, at the end of the step.
        """

    def move(
        self, stage: int, k: Any, x: Array, before: Any, after: Any, trace: Array
    ) -> Float[Array, "*shape"]:
        """A stage after a step: what `relaxation` makes of it, in fewer operations if there are.

        Args:
            stage: As in `relaxation`, like the other arguments.
            k: The coefficients.
            x: Input.
            before: Trace of the stage before this one, at the start of the step.
            after: The same, at the end of the step.
            trace: Trace of this stage, at the start of the step.
        """
        return self.relaxation(stage, k, x, before, after)(trace)

    @abc.abstractmethod
    def output(self, k: Any, before: Traces, after: Traces) -> Array:
        """What a step returns.

        Args:
            k: The coefficients.
            before: Traces at the start of the step, one per stage.
            after: Traces at its end, as rounded into the state.
        """

    def range(self, dtype: jnp.dtype) -> tuple[float, float]:
        """Smallest and largest value that a state of `dtype` can take."""
        largest = float(jnp.finfo(dtype).max)
        return as_bounds(*(self.bounds or self.natural_range or (-largest, largest)), dtype)

    def driving(self, x: Array, wide: jnp.dtype) -> Array:
        """Inputs in the arithmetic dtype.

        An infinite one becomes NaN, so that it stays visible: an infinity could not be told from
        an overflow, which is limited. Where traces are clipped, it is clipped with them.
        """
        bounded = self.bounds is not None or self.natural_range is not None
        if bounded or not jnp.issubdtype(x.dtype, jnp.floating):
            return x.astype(wide)
        finite = x
        if x.dtype.itemsize > wide.itemsize:
            largest = float(jnp.finfo(wide).max)
            finite = jnp.clip(x, -largest, largest)
        return jnp.where(jnp.isfinite(x), finite.astype(wide), jnp.nan)

    def carried(self, y: Array, dtype: jnp.dtype) -> Array:
        """A trace as it travels where steps are composed: within bounds, or finite at least."""
        if self.bounds is not None:
            return clip(y, *self.range(dtype))
        return limit(y, self.range(y.dtype))

    def fitted(
        self, parameters: P, shape: tuple[int, ...], dtype: jnp.dtype
    ) -> dict[str, Float[Array, "..."]]:
        """Parameters by name, in the arithmetic dtype of a state of `shape` and `dtype`.

        A base is one that the state can rest on: a value of `dtype`.
        """
        wide = arithmetic_dtype(dtype)
        named = {
            name: fit(name, jnp.asarray(value), shape).astype(wide)
            for name, value in zip(self.parameters._fields, parameters, strict=True)
        }
        limits = self.range(dtype)
        return named | {name: round_to(dtype, clip(named[name], *limits)) for name in self.bases}

    def prepare(self, parameters: P, state: State) -> tuple[jnp.dtype, Any, Traces]:
        """Storage dtype, coefficients, and traces in the arithmetic dtype.

        In that dtype the traces travel from step to step, though their values are values of the
        storage dtype: so gradients travel back at full precision.
        """
        shape, dtype = state.traces[0].shape, state.traces[0].dtype
        k = self.coefficients(self.parameters(**self.fitted(parameters, shape, dtype)))
        wide = arithmetic_dtype(dtype)
        return dtype, k, tuple(trace.astype(wide) for trace in state.traces)

    def advance(
        self, k: Any, dtype: jnp.dtype, traces: Traces, noise: Noise, x: Array
    ) -> tuple[Traces, Array]:
        """Take one step on traces in the arithmetic dtype.

        Args:
            k: The coefficients.
            dtype: Storage dtype of the traces.
            traces: Traces, in the arithmetic dtype.
            noise: Where stochastic rounding draws from.
            x: Input, broadcastable to the traces.

        Returns:
            The traces after the step, values of the storage dtype, and the output; both still in
            the arithmetic dtype.
        """
        limits = self.range(dtype)
        drive = self.driving(fit("x", x, traces[0].shape), traces[0].dtype)
        kept: tuple[Array, ...] = ()
        for stage, trace in enumerate(traces):
            before, after = (traces[stage - 1], kept[stage - 1]) if stage else (None, None)
            y = self.move(stage, k, drive, before, after, trace)
            if self.bounds is not None:
                y = clip(y, *limits)
            elif self.natural_range is None:
                y = limit(y, limits)
            kept += (round_state(y, dtype, noise, stage),)
        return kept, self.output(k, traces, kept)

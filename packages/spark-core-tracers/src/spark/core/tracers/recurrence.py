"""The recurrence that every tracer is: one step, and many steps over time."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from . import events
from .arguments import as_bounds, as_dt, fit, require_fit
from .coefficients import Parameter, Steps
from .maps import Relaxation, clip
from .over_time import Plan, Traces, run
from .rounding import Noise, arithmetic_dtype, limit, round_state, round_to
from .ways import Method, choose

P = TypeVar("P", bound=tuple[Any, ...])
"""Parameters of a recurrence: a named tuple of `Parameter`."""


class State(NamedTuple):
    """What a recurrence carries from step to step.

    Attributes:
        traces: One array per stage, all of one shape and dtype.
        noise: Where stochastic rounding draws from; counts the steps.
    """

    traces: Traces
    noise: Noise


@dataclasses.dataclass(frozen=True)
class Recurrence(abc.ABC, Generic[P]):
    """A chain of stages, each relaxing to its base, driven by the input or by the stage before.

    A recurrence holds no arrays: it hashes by its options, and its methods are pure. A kind of
    tracer says what its coefficients are, how each stage moves and what comes out; how a step is
    taken, how it is rounded and how steps are run over time is written here, once.

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
    """Range that the exact recurrence never leaves, and that rounding is not allowed to leave."""

    def __post_init__(self) -> None:
        """Refuse a time step that is none."""
        as_dt(self.dt)

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

    def init(
        self,
        parameters: P,
        shape: tuple[int, ...],
        dtype: Any = jnp.float32,
        key: Array | None = None,
    ) -> State:
        """The state at rest.

        Args:
            parameters: Arrays broadcastable to `shape`.
            shape: Shape of each trace.
            dtype: Storage dtype of the traces.
            key: JAX PRNG key for stochastic rounding; None rounds to nearest.
        """
        traces = tuple(jnp.empty(shape, dtype) for _ in self.traces)
        state = State(traces, Noise(key, jnp.zeros((), jnp.uint32)))
        return self.reset(parameters, state, jnp.ones((), bool))

    def reset(self, parameters: P, state: State, mask: Bool[Array, "..."]) -> State:
        """Put every trace to its value at rest where `mask` is true.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: The state; its noise goes on.
            mask: Boolean, broadcastable to the shape of the state.
        """
        shape = state.traces[0].shape
        mask = fit("mask", mask, shape)
        traces = tuple(
            jnp.where(mask, fit("base", jnp.asarray(rest, trace.dtype), shape), trace)
            for rest, trace in zip(self.rest(parameters), state.traces, strict=True)
        )
        return state._replace(traces=traces)

    def step(self, parameters: P, state: State, x: Array) -> tuple[State, Float[Array, "*shape"]]:
        """Take one step.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: Traces, of shape `*shape` and any storage dtype, and noise.
            x: Input; boolean, integer or floating, broadcastable to `*shape`.

        Returns:
            The state after the step, and the output of shape `*shape` in the dtype of the state.
        """
        dtype, k, traces = self._prepare(parameters, state)
        traces, y = self.advance(k, dtype, traces, state.noise, x)
        return self._finish(state, traces, dtype, steps=1), y.astype(dtype)

    def scan(
        self, parameters: P, state: State, xs: Array, method: Method = "auto"
    ) -> tuple[State, Float[Array, "time *shape"]]:
        """Take one step per leading entry of `xs`.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: Traces, of shape `*shape` and any storage dtype, and noise.
            xs: Inputs, time first; each broadcastable to `*shape`.
            method: `"sequential"` takes the single steps, with the same random bits. `"parallel"`
                composes steps in a tree over time, and agrees to the rounding of the arithmetic
                dtype; what it returns is rounded to the storage dtype, what it carries is not.
                `"auto"` takes the one that is faster by measurement on this device.

        Returns:
            The state after the last step, and the outputs of all steps in the dtype of the state.
        """
        dtype, k, traces = self._prepare(parameters, state)
        shape = traces[0].shape
        require_fit("xs[t]", xs.shape[1:], shape)
        parallel = choose(method, len(xs), math.prod(shape))
        traces, (ys,) = run(Plan(self, dtype, parallel), k, traces, state.noise, xs)
        return self._finish(state, traces, dtype, steps=len(xs)), ys

    def resting_on(self, dtype: jnp.dtype, parameters: dict[str, Array]) -> dict[str, Array]:
        """Parameters by name, with bases that a state of `dtype` can rest on exactly."""
        bases = {name: round_to(dtype, parameters[name]) for name in self.bases}
        return parameters | bases

    def jump(
        self,
        parameters: P,
        state: State,
        steps: Int[Array, " events"],
        elements: Int[Array, " events"],
        x: Float[Array, " events"],
        duration: Int[Array, ""],
    ) -> tuple[State, Float[Array, " events"]]:
        """Go from event to event, by the closed form of the silence between them.

        Time and memory grow with the number of events and of elements, not with that of steps.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: Traces, of shape `*shape` and any storage dtype, and noise.
            steps: The step, from 0, at whose end each event arrives; in any order.
            elements: Which element it arrives at: an index into the flattened state.
            x: Input of each event. Events of one step and element add up.
            duration: Number of steps in all, beyond the last event.

        Returns:
            The state after `duration` steps, and what the step of each event returned for its
            element; of shape `(events,)`, in the dtype of the state.

        Raises:
            TypeError: If there are bounds and more than one stage: a second stage that saturates
                has no closed form.
        """
        if self.bounds is not None and len(self.traces) > 1:
            raise TypeError(
                "a saturating double trace cannot jump from event to event: between events its "
                "second stage meets the bounds at times that have no closed form; use scan."
            )
        return events.jump(self, parameters, state, steps, elements, x, duration)

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
        cause = fit("x", x, traces[0].shape)
        drive = cause.astype(traces[0].dtype)
        kept: tuple[Array, ...] = ()
        for stage, trace in enumerate(traces):
            previous = (traces[stage - 1], kept[stage - 1]) if stage else (None, None)
            y = self.relaxation(stage, k, drive, *previous)(trace)
            y = limit(y, limits, cause) if self.bounds is None else clip(y, *limits)
            kept += (round_state(y, dtype, noise, stage),)
            cause = y
        return kept, self.output(k, traces, kept)

    def _prepare(self, parameters: P, state: State) -> tuple[jnp.dtype, Any, Traces]:
        """Storage dtype, coefficients, and traces in the arithmetic dtype.

        In that dtype the traces travel from step to step, though their values are values of the
        storage dtype: so gradients travel back at full precision.
        """
        shape, dtype = state.traces[0].shape, state.traces[0].dtype
        wide = arithmetic_dtype(dtype)
        fitted = {
            name: fit(name, jnp.asarray(value), shape).astype(wide)
            for name, value in zip(self.parameters._fields, parameters, strict=True)
        }
        k = self.coefficients(self.parameters(**self.resting_on(dtype, fitted)))
        return dtype, k, tuple(trace.astype(wide) for trace in state.traces)

    @staticmethod
    def _finish(state: State, traces: Traces, dtype: jnp.dtype, steps: int) -> State:
        noise = state.noise._replace(steps=state.noise.steps + np.uint32(steps))
        return State(tuple(trace.astype(dtype) for trace in traces), noise)

"""`Recurrence`: the stages of a tracer, their coefficients, and the ways to run them."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Generic, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import _jump
from ._arguments import fit, own, require_fit
from ._coefficients import Parameter, Steps
from ._dtypes import as_bounds, as_finite, bound, compute_dtype
from ._maps import Relaxation, clip
from ._parameters import prepare_parameters
from ._rounding import Noise, round_state
from ._scan import Method, Plan, choose, run
from ._state import State, Traces
from ._time import as_dt

P = TypeVar("P", bound=tuple[Any, ...])
"""Parameters of a recurrence: a named tuple of `Parameter`."""


@dataclasses.dataclass(frozen=True)
class Recurrence(abc.ABC, Generic[P]):
    """A chain of stages, each relaxing to its base, driven by the input or by the stage before.

    A kind of tracer defines its coefficients, the map of each stage and the output. How a step is
    taken and rounded, and the ways to run steps - one by one, over time, from event to event - are
    written here, once. A recurrence holds no arrays and hashes by its options; all methods are
    pure, of parameters, state and input.

    Attributes:
        dt: Time step, in the unit of the time constants.
    """

    dt: float

    parameters: ClassVar[type[Any]]
    """The named tuple of the parameters."""
    time_constants: ClassVar[tuple[str, ...]]
    """Parameters that are time constants."""
    probabilities: ClassVar[tuple[str, ...]] = ()
    """Parameters that lie in [0, 1]."""
    bases: ClassVar[tuple[str, ...]] = ()
    """Parameters that are values at rest."""
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
            parameters: Arrays of rank 0 or of the rank of the state, in the compute dtype.
            steps: Number of steps, broadcastable against the parameters.
        """

    @abc.abstractmethod
    def relaxation(self, stage: int, k: Any, x: Array, before: Any, after: Any) -> Relaxation:
        """The map that takes a stage through a step.

        Args:
            stage: Number of the stage, from 0.
            k: The coefficients.
            x: Input, in the compute dtype, broadcastable to the state.
            before: Trace of the stage before this one, at the start of the step.
            after: The same, at the end of the step.
        """

    def move(
        self, stage: int, k: Any, x: Array, before: Any, after: Any, trace: Array
    ) -> Float[Array, "*shape"]:
        """Apply `relaxation` to a trace; override it where fewer operations do the same."""
        return self.relaxation(stage, k, x, before, after)(trace)

    @abc.abstractmethod
    def output(self, k: Any, before: Traces, after: Traces) -> Array:
        """The value that a step returns.

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
        """Inputs in the compute dtype.

        An infinite one becomes NaN, so that it stays visible: an infinity could not be told from
        an overflow, which is limited. Where traces are clipped, it is clipped with them.
        """
        bounded = self.bounds is not None or self.natural_range is not None
        return x.astype(wide) if bounded else as_finite(x, wide)

    def carried(self, y: Array, dtype: jnp.dtype) -> Array:
        """A trace as it travels where steps are composed: within bounds, or finite at least."""
        if self.bounds is not None:
            return clip(y, *self.range(dtype))
        return bound(y, self.range(y.dtype))

    def prepare(self, parameters: P, state: State) -> tuple[jnp.dtype, Any, Traces]:
        """Storage dtype, coefficients, and traces in the compute dtype.

        In that dtype the traces travel from step to step, though their values are values of the
        storage dtype: so gradients travel back at full precision.
        """
        shape, dtype = state.traces[0].shape, state.traces[0].dtype
        fitted = prepare_parameters(self, parameters, shape, dtype)
        k = self.coefficients(self.parameters(**fitted))
        wide = compute_dtype(dtype)
        return dtype, k, tuple(trace.astype(wide) for trace in state.traces)

    def advance(
        self, k: Any, dtype: jnp.dtype, traces: Traces, noise: Noise, x: Array
    ) -> tuple[Traces, Array]:
        """Take one step on traces in the compute dtype.

        Args:
            k: The coefficients.
            dtype: Storage dtype of the traces.
            traces: Traces, in the compute dtype.
            noise: Random bits of stochastic rounding.
            x: Input, broadcastable to the traces.

        Returns:
            The traces after the step, values of the storage dtype, and the output; both still in
            the compute dtype.
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
                y = bound(y, limits)
            kept += (round_state(y, dtype, noise, stage),)
        return kept, self.output(k, traces, kept)

    def advance_over_time(
        self,
        k: Any,
        dtype: jnp.dtype,
        traces: Traces,
        noise: Noise,
        xs: Array,
        method: Method = "auto",
    ) -> tuple[Traces, Float[Array, "time *shape"]]:
        """Take many steps, time first, as `advance` takes one; outputs are in `dtype`."""
        require_fit("xs[t]", xs.shape[1:], traces[0].shape)
        parallel = choose(method, len(xs), traces[0].size)
        traces, (ys,) = run(Plan(self, dtype, parallel), k, traces, noise, xs)
        return traces, ys

    def init(
        self, parameters: P, shape: tuple[int, ...], dtype: Any = jnp.float32, key: Any = None
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
            parameters: As in `step`.
            state: The state; its noise goes on.
            mask: Boolean, broadcastable to the shape of the state.
        """
        parameters, state, mask = own((parameters, state, mask))
        shape = state.traces[0].shape
        mask = fit("mask", mask, shape)
        limits = self.range(state.traces[0].dtype)
        traces = tuple(
            jnp.where(mask, fit("base", jnp.clip(rest, *limits).astype(trace.dtype), shape), trace)
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
        parameters, state, x = own((parameters, state, x))
        dtype, k, traces = self.prepare(parameters, state)
        traces, y = self.advance(k, dtype, traces, state.noise, x)
        return state.after(1, traces), y.astype(dtype)

    def before_input(self, parameters: P, state: State) -> Float[Array, "*shape"]:
        """The left limit: the output of a step without input; the state stays as it is.

        Args:
            parameters: As in `step`.
            state: The state at the start of the step.

        Returns:
            The output of shape `*shape`, rounded once, to nearest, to the dtype of the state.
        """
        dtype, k, traces = self.prepare(parameters, state)
        wide = traces[0].dtype
        _, y = self.advance(k, wide, traces, Noise(None, state.noise.steps), jnp.zeros((), wide))
        return bound(y, self.range(dtype)).astype(dtype)

    def scan(
        self, parameters: P, state: State, xs: Array, method: Method = "auto"
    ) -> tuple[State, Float[Array, "time *shape"]]:
        """Take one step per leading entry of `xs`.

        Args:
            parameters: As in `step`, like `state`.
            state: See there.
            xs: Inputs, time first; each broadcastable to `*shape`.
            method: `"sequential"` takes the single steps, with the same random bits. `"parallel"`
                composes steps in a tree over time, and agrees to the rounding of the compute dtype:
                outputs are rounded and limited to the range of the storage dtype, the carry is not,
                so that a trace beyond it (65504 in float16) decays from the limit step by step, and
                from where it is in parallel. `"auto"` takes the one measured to be faster: the
                sequential on a CPU, the parallel on a GPU but for few steps or many elements.

        Returns:
            The state after the last step, and the outputs of all steps in the dtype of the state.
        """
        parameters, state, xs = own((parameters, state, xs))
        dtype, k, traces = self.prepare(parameters, state)
        traces, ys = self.advance_over_time(k, dtype, traces, state.noise, xs, method)
        return state.after(len(xs), traces), ys

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
            parameters: As in `step`, like `state`.
            state: See there.
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
        return _jump.jump(self, parameters, state, own(steps), own(elements), own(x), duration)


Law = Recurrence
"""Another name of `Recurrence`."""

"""`Recurrence`: the stages of a tracer, their coefficients, and the ways to run them."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Generic, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import _jump
from ._arguments import fit, own
from ._coefficients import Parameter, Steps
from ._dtypes import as_bounds, as_finite, bound, compute_dtype
from ._maps import Propagator, clip
from ._parameters import prepare_parameters
from ._rounding import Noise, round_state
from ._run import Run
from ._scan import Method
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
    """Range that a step never leaves, unlike composed steps in floating point."""

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
    def relaxation(
        self, stage: int, coefficients: Any, x: Array, before: Any, after: Any
    ) -> Propagator:
        """The affine propagator of a stage over a step.

        Args:
            stage: Number of the stage, from 0.
            coefficients: The coefficients.
            x: Input, in the compute dtype, broadcastable to the state.
            before: Trace of the stage before this one, at the start of the step.
            after: The same, at the end of the step.
        """

    def propagate(
        self, stage: int, coefficients: Any, x: Array, before: Any, after: Any, trace: Array
    ) -> Float[Array, "*shape"]:
        """Apply the propagator to a trace; override it where fewer operations do the same."""
        return self.relaxation(stage, coefficients, x, before, after)(trace)

    @abc.abstractmethod
    def output(self, coefficients: Any, before: Traces, after: Traces) -> Array:
        """The value that a step returns.

        Args:
            coefficients: The coefficients.
            before: Traces at the start of the step, one per stage.
            after: Traces at its end, as rounded into the state.
        """

    def range(self, dtype: jnp.dtype) -> tuple[float, float]:
        """Smallest and largest value in a state of `dtype`."""
        largest = float(jnp.finfo(dtype).max)
        return as_bounds(*(self.bounds or self.natural_range or (-largest, largest)), dtype)

    def cast_input(self, x: Array, compute: jnp.dtype) -> Array:
        """Inputs in the compute dtype.

        An infinite input becomes NaN: as an infinity it could not be told from an overflow, which
        is limited. Where traces are clipped, it is clipped with them.
        """
        bounded = self.bounds is not None or self.natural_range is not None
        return x.astype(compute) if bounded else as_finite(x, compute)

    def bounded(self, y: Array, dtype: jnp.dtype) -> Array:
        """A trace between composed steps: clipped to its bounds, or finite if it has none."""
        if self.bounds is not None:
            return clip(y, *self.range(dtype))
        return bound(y, self.range(y.dtype))

    def begin(self, parameters: P, state: State) -> tuple[Run, State]:
        """Derive the coefficients, for as many steps as parameters stay as they are.

        Args:
            parameters: As in `step`, like `state`.
            state: See there.

        Returns:
            The recurrence with its coefficients; and the carry, whose traces are in the compute
            dtype, so that gradients travel back at full precision.
        """
        shape, dtype = state.traces[0].shape, state.traces[0].dtype
        named = prepare_parameters(self, parameters, shape, dtype)
        run = Run(self, dtype, self.coefficients(self.parameters(**named)))
        traces = tuple(trace.astype(compute_dtype(dtype)) for trace in state.traces)
        return run, State(traces, state.noise)

    def end(self, state: State, carry: State) -> State:
        """A carry as a state, in the storage dtype of the state that it began from."""
        pairs = zip(carry.traces, state.traces, strict=True)
        return State(tuple(new.astype(old.dtype) for new, old in pairs), carry.noise)

    def advance(
        self, coefficients: Any, dtype: jnp.dtype, traces: Traces, noise: Noise, x: Array
    ) -> tuple[Traces, Array]:
        """Take one step on traces in the compute dtype.

        Args:
            coefficients: The coefficients.
            dtype: Storage dtype of the traces.
            traces: Traces, in the compute dtype.
            noise: Random bits of stochastic rounding.
            x: Input, broadcastable to the traces.

        Returns:
            The traces after the step, rounded to the storage dtype, and the output; both in the
            compute dtype.
        """
        limits = self.range(dtype)
        drive = self.cast_input(fit("x", x, traces[0].shape), traces[0].dtype)
        kept: tuple[Array, ...] = ()
        for stage, trace in enumerate(traces):
            before, after = (traces[stage - 1], kept[stage - 1]) if stage else (None, None)
            y = self.propagate(stage, coefficients, drive, before, after, trace)
            if self.bounds is not None:
                y = clip(y, *limits)
            elif self.natural_range is None:
                y = bound(y, limits)
            kept += (round_state(y, dtype, noise, stage),)
        return kept, self.output(coefficients, traces, kept)

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
        run, carry = self.begin(parameters, state)
        carry, y = run.step(carry, x)
        return self.end(state, carry), y

    def before_input(self, parameters: P, state: State) -> Float[Array, "*shape"]:
        """The left limit: the output of a step without input; the state stays as it is.

        Args:
            parameters: As in `step`.
            state: The state at the start of the step.

        Returns:
            The output of shape `*shape`, rounded once, to nearest, to the dtype of the state.
        """
        run, carry = self.begin(parameters, state)
        x, nearest = jnp.zeros((), carry.traces[0].dtype), Noise(None, state.noise.steps)
        _, y = self.advance(run.coefficients, x.dtype, carry.traces, nearest, x)
        return bound(y, self.range(run.dtype)).astype(run.dtype)

    def scan(
        self, parameters: P, state: State, xs: Array, method: Method = "auto"
    ) -> tuple[State, Float[Array, " time *shape"]]:
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
        run, carry = self.begin(parameters, state)
        carry, ys = run.scan(carry, xs, method)
        return self.end(state, carry), ys

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
            The state after `duration` steps, and the output of the step of each event for its
            element; of shape `(events,)`, in the dtype of the state.

        Raises:
            TypeError: If there are bounds and more than one stage: a second stage that saturates
                has no closed form.
        """
        return _jump.jump(self, parameters, state, duration, *own((steps, elements, x)))


Law = Recurrence
"""Another name of `Recurrence`."""

"""The recurrence that every tracer is: a law, and the ways to run it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from . import events
from .arguments import fit, own, require_fit
from .law import Law, P, State, Traces
from .over_time import run
from .plan import Plan
from .rounding import Noise, limit
from .ways import Method, choose


@dataclasses.dataclass(frozen=True)
class Recurrence(Law[P]):
    """A law with the ways to run it: step by step, over time, and from event to event.

    All methods are pure, of parameters, state and input; none needs a module.

    Attributes:
        dt: Time step, in the unit of the time constants.
    """

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
        return self._finish(state, traces, dtype, steps=1), y.astype(dtype)

    def before_input(self, parameters: P, state: State) -> Float[Array, "*shape"]:
        """What a step without input would return: the left limit, just before an input arrives.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: The state at the start of the step; it stays as it is, and so does its noise.

        Returns:
            The output of shape `*shape`, computed in the arithmetic dtype and rounded once, to
            nearest, to the dtype of the state.
        """
        dtype, k, traces = self.prepare(parameters, state)
        wide = traces[0].dtype
        _, y = self.advance(k, wide, traces, Noise(None, state.noise.steps), jnp.zeros((), wide))
        return limit(y, self.range(dtype)).astype(dtype)

    def scan(
        self, parameters: P, state: State, xs: Array, method: Method = "auto"
    ) -> tuple[State, Float[Array, " time *shape"]]:
        """Take one step per leading entry of `xs`.

        Args:
            parameters: Arrays broadcastable to the shape of the state.
            state: Traces, of shape `*shape` and any storage dtype, and noise.
            xs: Inputs, time first; each broadcastable to `*shape`.
            method: `"sequential"` takes the single steps, with the same random bits. `"parallel"`
                composes steps in a tree over time, and agrees to the rounding of the arithmetic
                dtype; what it returns is rounded to the storage dtype, and limited to its range,
                what it carries is not. So a trace beyond that range, 65504 in float16, decays from
                the limit step by step, and from where it is in parallel.
                `"auto"` takes the one that is faster by measurement: the sequential on a CPU, the
                parallel on a GPU but for a few steps or many elements.

        Returns:
            The state after the last step, and the outputs of all steps in the dtype of the state.
        """
        parameters, state, xs = own((parameters, state, xs))
        dtype, k, traces = self.prepare(parameters, state)
        traces, ys = self.advance_over_time(k, dtype, traces, state.noise, xs, method)
        return self._finish(state, traces, dtype, steps=len(xs)), ys

    def advance_over_time(
        self,
        k: Any,
        dtype: jnp.dtype,
        traces: Traces,
        noise: Noise,
        xs: Array,
        method: Method = "auto",
    ) -> tuple[Traces, Float[Array, " time *shape"]]:
        """Take many steps on traces in the arithmetic dtype, as `advance` takes one.

        Args:
            k: The coefficients.
            dtype: Storage dtype of the traces.
            traces: Traces, in the arithmetic dtype.
            noise: Where stochastic rounding draws from.
            xs: Inputs, time first; each broadcastable to the traces.
            method: As in `scan`.

        Returns:
            Traces after the last step, with the values that a state of `dtype` takes, and the
            outputs of all steps in `dtype`.
        """
        shape = traces[0].shape
        require_fit("xs[t]", xs.shape[1:], shape)
        parallel = choose(method, len(xs), math.prod(shape))
        traces, (ys,) = run(Plan(self, dtype, parallel), k, traces, noise, xs)
        return traces, ys

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
        return events.jump(self, parameters, state, own(steps), own(elements), own(x), duration)

    @staticmethod
    def _finish(state: State, traces: Traces, dtype: jnp.dtype, steps: int) -> State:
        noise = state.noise._replace(steps=state.noise.steps + np.uint32(steps))
        return State(tuple(trace.astype(dtype) for trace in traces), noise)

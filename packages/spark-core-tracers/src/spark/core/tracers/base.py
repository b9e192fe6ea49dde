"""`BaseTracer`: shape, dt, dtype, random numbers and verbs of all tracer modules."""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

from ._arguments import (
    as_indices,
    as_input,
    as_key,
    as_shape,
    one_of,
    real_array,
    require_fit,
)
from ._dtypes import as_storage_dtype
from ._module import RecurrenceModule, read
from ._recurrence import Recurrence
from ._rounding import ROUNDINGS, Noise, Rounding
from ._scan import METHODS, Method
from ._state import State
from ._time import as_dt, as_event_steps


class BaseTracer(RecurrenceModule, abc.ABC):
    """Base class of the tracers.

    It holds shape, time step, storage dtype and random numbers, checks what comes in, and has the
    verbs of every tracer: call, `scan`, `jump`, `reset` and `masked_reset`; `before_input` reads
    it. A kind of tracer adds its recurrence and its `value`.

    `tracer.tau = 10.0` sets the value of the variable `tau`, after the checks of the constructor;
    so do the other parameters and the traces. Static attributes are fixed: make a new tracer.

    Attributes:
        shape: Shape of the trace.
        dt: Time step, in the unit of the time constants.
        dtype: Dtype of the stored traces. Arithmetic is at least float32.
        rounding: How a half-precision trace is rounded.
        trainable: Names of the parameters that are `nnx.Param`.
        recurrence: The pure recurrence that the tracer runs; static.
        rng: Random stream for stochastic rounding; its count advances by one per step.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        seed: int | Array | None = None,
        dtype: Any = jnp.float16,
        dt: float = 1.0,
        *,
        rounding: Rounding = "stochastic",
        trainable: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """Set the attributes that all tracers share.

        Args:
            shape: Shape of the trace; an integer stands for one axis.
            seed: Seed of the random stream, or a JAX PRNG key; None stands for 0.
            dtype: float16, bfloat16, float32 or float64.
            dt: Time step, in the unit of the time constants (ms by convention); finite and > 0.
            rounding: `"stochastic"` keeps the mean of a half-precision trace right at every time
                constant. `"nearest"` is deterministic and needs no random numbers, but refuses time
                constants that it could not decay. Without effect in float32 and float64.
            trainable: Names of the parameters to keep as `nnx.Param`, such as `("tau",)`; the
                others are `Constant`.
            **kwargs: None; an unknown keyword is refused by name.

        Raises:
            TypeError: If an argument has the wrong type, or a keyword is unknown.
            ValueError: If an argument has a value that makes no sense.
        """
        if kwargs:
            raise TypeError(
                f"{type(self).__name__} got an unknown keyword {next(iter(kwargs))!r}; "
                f"known ones are {', '.join(_keywords(type(self)))}."
            )
        self.shape = as_shape(shape)
        self.dt = as_dt(dt)
        self.dtype = as_storage_dtype(dtype)
        self.rounding = one_of("rounding", rounding, ROUNDINGS)
        self.trainable = trainable
        self.rng = nnx.RngStream(as_key(seed), tag="rounding")

    @property
    @abc.abstractmethod
    def value(self) -> Float[Array, "*shape"]:
        """The present value of the tracer, of shape `shape` and dtype `dtype`."""

    @property
    def state(self) -> State:
        """Traces and noise, for the methods of `recurrence`."""
        key = read(self.rng.key) if self.rounding == "stochastic" else None
        traces = tuple([read(getattr(self, name)) for name in self.recurrence.traces])
        return State(traces, Noise(key, read(self.rng.count)))

    def set_state(self, state: State) -> None:
        """Take over traces and count of steps that a method of `recurrence` returned."""
        for name, trace in zip(self.recurrence.traces, state.traces, strict=True):
            getattr(self, name).set_value(trace)
        self.rng.count.set_value(state.noise.steps)

    def __call__(self, x: ArrayLike, **kwargs: Any) -> Float[Array, "*shape"]:
        """Take one step.

        Args:
            x: Input that arrives at the end of the step; boolean, integer or floating,
                broadcastable to `shape`.
            **kwargs: None; an unknown keyword is refused by name.

        Returns:
            The value after the step, of shape `shape` and dtype `dtype`.

        Raises:
            TypeError: If `x` is not an array of real numbers, or a keyword is given.
            ValueError: If `x` does not broadcast to `shape`.
        """
        if kwargs:
            raise TypeError(
                f"a tracer's call takes x alone, got an unknown {next(iter(kwargs))!r}."
            )
        checked = as_input("x", x)
        state, y = _step(self.recurrence, self.parameters, self.state, checked)
        self.set_state(state)
        return y

    def before_input(self) -> Float[Array, "*shape"]:
        r"""The value at the end of the coming step, just before its input arrives.

        Named for the instant: the left limit $y(t^-)$, which pair-based learning rules read, so
        that a spike does not see its own contribution. It is the result of a call with `x = 0`,
        for every class; for `RUTracer`, usage decayed times resources recovered:

        $$ y(t^-) = \mathrm{base} + d\, u \ (\text{Tracer}), \qquad
           y(t^-) = \mathrm{base}_2 + d_2 u_2 + \mathrm{scale}_2\, g\, u_1
           \ (\text{DoubleTracer}), \qquad
           y(t^-) = d_U U \, (1 - d_R (1 - R)) \ (\text{RUTracer}). $$

        Where traces saturate it cannot be told from the value after the step. Ask for it before the
        call: neither traces nor random numbers change. Rounding is to nearest, once, to `dtype`.

        Returns:
            An array of shape `shape` and dtype `dtype`.

        Example:
            >>> import jax.numpy as jnp
            >>> from spark.core.tracers import SaturableTracer
            >>> tracer = SaturableTracer((1,), tau=20.0, dtype=jnp.float32)
            >>> tracer(1.0)
            Array([1.], dtype=float32)
            >>> tracer.before_input(), tracer(1.0)  # exp(-1/20), and clipped to 1
            (Array([0.9512...], dtype=float32), Array([1.], dtype=float32))
        """
        return _before_input(self.recurrence, self.parameters, self.state)

    def scan(self, xs: ArrayLike, method: Method = "auto") -> Float[Array, " time *shape"]:
        """Take one step per leading entry of `xs`.

        Args:
            xs: Inputs, time as the leading axis; `xs[t]` broadcasts to `shape`.
            method: `"sequential"` takes the steps of single calls, with the same random bits.
                `"parallel"` composes steps in a tree over time, and agrees to the rounding of the
                compute dtype. `"auto"` takes the one that is faster by measurement: the
                sequential on a CPU, the parallel on a GPU but for a few steps or many elements.

        Returns:
            The value after each step, of shape `(time, *shape)` and dtype `dtype`.

        Raises:
            TypeError: If `xs` is not an array of real numbers.
            ValueError: If `xs` has no time axis, `xs[t]` does not broadcast to `shape`, or the
                method is unknown.
        """
        checked = as_input("xs", xs)
        if checked.ndim == 0:
            raise ValueError("xs must have time as its leading axis, got a scalar.")
        one_of("method", method, METHODS)
        state, ys = _scan(self.recurrence, self.parameters, self.state, checked, method)
        self.set_state(state)
        return ys

    def jump(
        self,
        times: ArrayLike,
        elements: ArrayLike,
        duration: float,
        x: ArrayLike = 1.0,
        *,
        tolerance: float = 0.0,
    ) -> Float[Array, " events"]:
        """Go from event to event, by the closed form of the silence between them.

        The state afterwards, and the values, are those of a scan over `duration` with these events;
        time and memory grow with the number of events and of elements, not with that of steps.

        Args:
            times: Time of each event from now on, in the unit of `dt`, ascending. One at time `t`
                arrives with the step `ceil(t/dt) - 1`.
            elements: Which element it arrives at: an index into the flattened trace.
            duration: How long to go, in the same unit; the last event lies within.
            x: Input of each event, or of all. Events of one step and element add up.
            tolerance: A time this close to a multiple of `dt`, as a fraction of `dt`, counts as
                that multiple: 0.01, say, for times that a clock has added up. Rounding to the
                digits of the times is allowed for in any case.

        Returns:
            The output of the step of each event for its element, of shape `(events,)` and dtype
            `dtype`.

        Raises:
            TypeError: If an argument is no array of real numbers, `elements` are no integers, or
                the tracer is a `SaturableDoubleTracer`, which has no closed form.
            ValueError: If times do not ascend or lie outside `(0, duration]`, an element does not
                exist, the lengths differ, or `tolerance` is not in [0, 0.5).
        """
        steps, count = as_event_steps(times, duration, self.dt, tolerance)
        remedy = "; under one, use the tracer's recurrence.jump"
        which = as_indices("elements", elements, len(steps), math.prod(self.shape), remedy)
        inputs = as_input("x", x)
        require_fit("x", inputs.shape, steps.shape)
        state, ys = _jump(
            self.recurrence,
            self.parameters,
            self.state,
            steps,
            jnp.asarray(which.astype(np.int32)),
            jnp.broadcast_to(inputs, steps.shape),
            count,
        )
        self.set_state(state)
        return ys

    def reset(self) -> None:
        """Put every trace to its value at rest. The random stream goes on."""
        self.masked_reset(jnp.ones((), bool))

    def masked_reset(self, mask: ArrayLike) -> None:
        """Put every trace to its value at rest where `mask` is true.

        Args:
            mask: Boolean, broadcastable to `shape`. Where it is false, no bit changes.

        Raises:
            TypeError: If `mask` is not boolean.
            ValueError: If `mask` does not broadcast to `shape`.
        """
        checked = real_array("mask", mask, "boolean")
        if checked.dtype != bool:
            raise TypeError(f"mask must be boolean, got dtype {checked.dtype}.")
        self.set_state(_reset(self.recurrence, self.parameters, self.state, checked))


def _keywords(cls: type) -> list[str]:
    """Names of all arguments of a constructor, those that it passes on included."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if issubclass(base, BaseTracer):
            for parameter in inspect.signature(base.__init__).parameters.values():
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                    names[parameter.name] = None
    return [name for name in names if name != "self"]


def _compiled(verb: str, *static: int) -> Callable[..., Any]:
    """One program per recurrence, shapes and dtypes, whichever module calls it."""

    def call(recurrence: Recurrence[Any], *arguments: Any) -> Any:
        return getattr(recurrence, verb)(*arguments)

    call.__name__ = call.__qualname__ = f"_{verb}"
    return jax.jit(call, static_argnums=(0, *static))


_step = _compiled("step")
_scan = _compiled("scan", 4)
_jump = _compiled("jump")
_reset = _compiled("reset")
_before_input = _compiled("before_input")

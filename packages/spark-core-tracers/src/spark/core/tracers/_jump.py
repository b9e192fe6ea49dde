"""The jump from event to event: a recurrence driven by few spikes, without the silent steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ._coefficients import Decay
from ._dtypes import bound, compute_dtype
from ._maps import Propagator, run_parallel
from ._parameters import prepare_parameters
from ._rounding import Noise, round_state
from ._state import State, Traces

if TYPE_CHECKING:
    from ._recurrence import Recurrence


class Events(NamedTuple):
    """The events of a jump, as `Recurrence.jump` takes them."""

    steps: Int[Array, " events"]
    elements: Int[Array, " events"]
    x: Float[Array, " events"]


def jump(
    recurrence: Recurrence[Any], parameters: Any, state: State, duration: Any, *given: Array
) -> tuple[State, Float[Array, " events"]]:
    """See `Recurrence.jump`."""
    if recurrence.bounds is not None and len(recurrence.traces) > 1:
        raise TypeError(
            "a saturating double trace cannot jump from event to event: between events its "
            "second stage meets the bounds at times that have no closed form; use scan."
        )
    events, duration = Events(*given), jnp.asarray(duration)
    dtype, shape = state.traces[0].dtype, state.traces[0].shape
    fitted = prepare_parameters(recurrence, parameters, shape, dtype)
    flat = {name: _flat(value, shape) for name, value in fitted.items()}
    noise = state.noise._replace(element=_numbers(state.noise, shape))
    traces = tuple(trace.astype(compute_dtype(dtype)).reshape(-1) for trace in state.traces)

    last, ys = jnp.full(len(traces[0]), -1, events.steps.dtype), jnp.empty(0, dtype)
    if len(events.steps):
        traces, last, ys = _at_events(recurrence, flat, dtype, noise, traces, events)
    traces = _after_silence(recurrence, flat, dtype, traces, duration.astype(last.dtype) - 1 - last)

    limits = recurrence.range(dtype)
    when = jnp.broadcast_to(duration - 1, last.shape)
    everyone = jnp.arange(len(last))
    traces = tuple(
        _rounded(bound(y, limits), dtype, noise, when, everyone, stage).reshape(shape)
        for stage, y in enumerate(traces)
    )
    return recurrence.end(state, State(traces, state.noise.after(duration))), ys


def _at_events(
    recurrence: Recurrence[Any],
    flat: dict[str, Array],
    dtype: jnp.dtype,
    noise: Noise,
    starts: Traces,
    events: Events,
) -> tuple[Traces, Int[Array, " elements"], Float[Array, " events"]]:
    """Traces after the last event of each element, the step of that event or -1, and outputs."""
    compute, limits = starts[0].dtype, recurrence.range(dtype)
    # Events of one element side by side, in order of time; those of one step act as one.
    order = jnp.lexsort((events.steps, events.elements))
    s, e = events.steps[order], events.elements[order]
    first = jnp.concatenate([jnp.ones(1, bool), e[1:] != e[:-1]])
    before_s = jnp.where(first, -1, jnp.roll(s, 1))
    head = first | (s != before_s)
    head_at = lax.cummax(jnp.where(head, jnp.arange(len(s)), 0))
    drive = recurrence.cast_input(events.x, compute).astype(compute)[order]
    together = jax.ops.segment_sum(drive, head_at, len(s))[head_at]

    gap = jnp.where(head, s - before_s, 1)
    local = {name: value[e] if value.ndim else value for name, value in flat.items()}
    coefficients = recurrence.coefficients(recurrence.parameters(**local), gap.astype(compute))
    before: Traces = ()
    after: Traces = ()
    for stage, start in enumerate(starts):
        previous = (before[-1], after[-1]) if stage else (None, None)
        move = recurrence.relaxation(stage, coefficients, together, *previous)
        y = _segmented(move, start[e], first, head, recurrence.bounds and limits)
        y = recurrence.bounded(y, dtype)
        before += (jnp.where(first, start[e], jnp.roll(y, 1)),)
        after += (y,)
    kept = tuple(
        _rounded(bound(y, limits), dtype, noise, s, e, stage) for stage, y in enumerate(after)
    )
    ys = recurrence.output(coefficients, before, kept).astype(dtype)[head_at]

    ends = jnp.where(jnp.concatenate([first[1:], jnp.ones(1, bool)]), e, len(starts[0]))
    last = jnp.full(len(starts[0]), -1, s.dtype).at[ends].set(s, mode="drop")
    traces = tuple(
        start.at[ends].set(y, mode="drop") for start, y in zip(starts, after, strict=True)
    )
    return traces, last, jnp.empty_like(ys).at[order].set(ys)


def _after_silence(
    recurrence: Recurrence[Any],
    flat: dict[str, Array],
    dtype: jnp.dtype,
    starts: Traces,
    gap: Int[Array, " elements"],
) -> Traces:
    """Traces of each element after a number of steps without input."""
    compute = starts[0].dtype
    coefficients = recurrence.coefficients(
        recurrence.parameters(**flat), jnp.maximum(gap, 1).astype(compute)
    )
    ended: Traces = ()
    for stage, start in enumerate(starts):
        previous = (starts[stage - 1], ended[stage - 1]) if stage else (None, None)
        move = recurrence.relaxation(stage, coefficients, jnp.zeros((), compute), *previous)
        ended += (recurrence.bounded(jnp.where(gap > 0, move(start), start), dtype),)
    return ended


def _segmented(
    move: Propagator,
    start: Float[Array, " events"],
    first: Array,
    head: Array,
    bounds: tuple[float, float] | None,
) -> Float[Array, " events"]:
    """The trace after each event; the first event of an element begins from its own start."""
    left = jnp.where(first, 0.0, jnp.where(head, move.decay.left, 1.0))
    lost = jnp.where(first, 1.0, jnp.where(head, move.decay.lost, 0.0))
    offset = jnp.where(first, move(start) - move.base, jnp.where(head, move.offset, 0.0))
    nothing = jnp.zeros((), start.dtype)
    return run_parallel(
        Propagator(Decay(left, lost), offset, move.base), nothing, bounds, restart=first
    )


def _rounded(
    y: Array, dtype: jnp.dtype, noise: Noise, steps: Array, elements: Array, stage: int
) -> Array:
    """Each value rounded with the bits of its own step and element."""
    assert noise.element is not None

    def one(y: Array, step: Array, element: Array) -> Array:
        here = noise.after(step)._replace(element=element)
        return round_state(y, dtype, here, stage)

    return jax.vmap(one)(y, steps, noise.element[elements])


def _numbers(noise: Noise, shape: tuple[int, ...]) -> Array:
    """Global number of each element, flattened."""
    numbers = noise.element
    if numbers is None:
        numbers = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.broadcast_to(numbers, shape).reshape(-1)


def _flat(value: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(value, shape).reshape(-1) if value.ndim else value

"""Tangents of a run over time: the one derivative of every way to run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ._coefficients import Decay
from ._maps import (
    Relaxation,
    Series,
    clip,
    coefficients_over_time,
    inputs,
    linear_scan,
    shifted,
    within,
)
from ._state import Traces

if TYPE_CHECKING:
    from ._scan import Plan


def tangents_over_time(
    plan: Plan,
    k: Any,
    traces: Traces,
    xs: Array,
    kept: Series,
    dk: Any,
    dtraces: Traces,
    dxs: Array | None,
) -> tuple[Traces, Series]:
    """Tangents of the last traces and of the outputs, along the traces that were kept.

    They obey a linear recurrence, which JAX transposes to the reversed one. Its coefficients are
    computed chunk by chunk and not stored: a reverse pass keeps the traces and nothing else.
    """
    size = plan.chunk(len(xs), traces[0].shape)
    chunks, rest = divmod(len(xs), size)

    def body(steps: int, dbefore: Traces, at: tuple[Array, Array | None]) -> tuple[Traces, Series]:
        chunk, dx = at

        @jax.checkpoint
        def tangents(
            k: Any,
            traces: Traces,
            xs: Array,
            kept: Series,
            chunk: Array,
            dk: Any,
            dbefore: Traces,
            dx: Array | None,
        ) -> tuple[Traces, Series]:
            first = chunk * size

            def here(series: Array) -> Array:
                return lax.dynamic_slice_in_dim(series, first, steps)

            def start(trace: Array, series: Array) -> Array:
                earlier = lax.dynamic_index_in_dim(series, first - 1, keepdims=False)
                return jnp.where(chunk == 0, trace, earlier.astype(trace.dtype))

            starts = tuple(map(start, traces, kept))
            after = tuple(map(here, kept))
            return _of_chunk(plan, (k, starts, here(xs), after), (dk, dbefore, dx))

        return tangents(k, traces, xs, kept, chunk, dk, dbefore, dx)

    head = None if dxs is None else dxs[: chunks * size].reshape(chunks, size, *dxs.shape[1:])
    dlast, series = lax.scan(functools.partial(body, size), dtraces, (jnp.arange(chunks), head))
    series = tuple(each.reshape(chunks * size, *each.shape[2:]) for each in series)
    if rest:
        tail = None if dxs is None else dxs[chunks * size :]
        dlast, ends = body(rest, dlast, (jnp.asarray(chunks), tail))
        series = tuple(jnp.concatenate(pair) for pair in zip(series, ends, strict=True))
    return dlast, series


def _of_chunk(
    plan: Plan, at: tuple[Any, Traces, Array, Series], tangents: tuple[Any, Traces, Array | None]
) -> tuple[Traces, Series]:
    """The same for a chunk, from the tangents at its start; a sequential run has chunks of 1."""
    (k, traces, xs, kept), (dk, dtraces, dxs) = at, tangents
    recurrence, wide = plan.recurrence, traces[0].dtype
    limits = recurrence.range(plan.dtype)
    after = tuple(y.astype(wide) for y in kept)
    before = tuple(shifted(start, y) for start, y in zip(traces, after, strict=True))
    x = recurrence.driving(inputs(xs, traces[0].ndim), wide).astype(wide)
    dx = jnp.zeros_like(x) if dxs is None else inputs(dxs, traces[0].ndim).astype(wide)

    dbefore: Series = ()
    dafter: Series = ()
    for stage in range(len(traces)):
        previous = (before[stage - 1], after[stage - 1]) if stage else ()
        dprevious = (dbefore[stage - 1], dafter[stage - 1]) if stage else ()

        def moves(k: Any, x: Array, *previous: Array, stage: int = stage) -> Relaxation:
            return recurrence.relaxation(
                stage, coefficients_over_time(k), x, *(previous or (None, None))
            )

        def step(*arguments: Any, stage: int = stage, moves: Any = moves) -> Array:
            y: Array = moves(*arguments)(before[stage])
            return y if recurrence.bounds is None else clip(y, *limits)

        _, offset = jax.jvp(step, (k, x, *previous), (dk, dx, *dprevious))
        here = moves(k, x, *previous)
        decay = here.decay
        if recurrence.bounds is not None:
            # A clipped step forgets where it came from.
            inside = within(here(before[stage]), *limits)
            decay = Decay(jnp.where(inside, decay.left, 0), jnp.where(inside, decay.lost, 1))
        dy = linear_scan(decay, offset, dtraces[stage])
        dbefore += (shifted(dtraces[stage], dy),)
        dafter += (dy,)

    dlast = tuple(dy[-1] for dy in dafter)
    if plan.every:
        return dlast, tuple(dy.astype(plan.dtype) for dy in dafter)
    _, dy = jax.jvp(
        lambda k, before, after: recurrence.output(coefficients_over_time(k), before, after),
        (k, before, after),
        (dk, dbefore, dafter),
    )
    return dlast, (dy.astype(plan.dtype),)

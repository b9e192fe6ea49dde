"""Tangents of a scan over time: one derivative for all ways to run it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ._coefficients import Decay
from ._maps import (
    Propagator,
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
    coefficients: Any,
    traces: Traces,
    xs: Array,
    kept: Series,
    dcoefficients: Any,
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
            coefficients: Any,
            traces: Traces,
            xs: Array,
            kept: Series,
            chunk: Array,
            dcoefficients: Any,
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
            return _of_chunk(
                plan, (coefficients, starts, here(xs), after), (dcoefficients, dbefore, dx)
            )

        return tangents(coefficients, traces, xs, kept, chunk, dcoefficients, dbefore, dx)

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
    """The tangents of a chunk, from those at its start; a sequential run has chunks of 1."""
    (coefficients, traces, xs, kept), (dcoefficients, dtraces, dxs) = at, tangents
    recurrence, compute = plan.recurrence, traces[0].dtype
    limits = recurrence.range(plan.dtype)
    after = tuple(y.astype(compute) for y in kept)
    before = tuple(shifted(start, y) for start, y in zip(traces, after, strict=True))
    x = recurrence.cast_input(inputs(xs, traces[0].ndim), compute).astype(compute)
    dx = jnp.zeros_like(x) if dxs is None else inputs(dxs, traces[0].ndim).astype(compute)

    dbefore: Series = ()
    dafter: Series = ()
    for stage in range(len(traces)):
        previous = (before[stage - 1], after[stage - 1]) if stage else ()
        dprevious = (dbefore[stage - 1], dafter[stage - 1]) if stage else ()

        def moves(coefficients: Any, x: Array, *previous: Array, stage: int = stage) -> Propagator:
            return recurrence.relaxation(
                stage, coefficients_over_time(coefficients), x, *(previous or (None, None))
            )

        def step(*arguments: Any, stage: int = stage, moves: Any = moves) -> Array:
            y: Array = moves(*arguments)(before[stage])
            return y if recurrence.bounds is None else clip(y, *limits)

        _, offset = jax.jvp(step, (coefficients, x, *previous), (dcoefficients, dx, *dprevious))
        here = moves(coefficients, x, *previous)
        decay = here.decay
        if recurrence.bounds is not None:
            # A clipped step does not depend on the trace before it.
            inside = within(here(before[stage]), *limits)
            decay = Decay(jnp.where(inside, decay.left, 0), jnp.where(inside, decay.lost, 1))
        dy = linear_scan(decay, offset, dtraces[stage])
        dbefore += (shifted(dtraces[stage], dy),)
        dafter += (dy,)

    dlast = tuple(dy[-1] for dy in dafter)
    if plan.keep_traces:
        return dlast, tuple(dy.astype(plan.dtype) for dy in dafter)
    _, dy = jax.jvp(
        lambda coefficients, before, after: recurrence.output(
            coefficients_over_time(coefficients), before, after
        ),
        (coefficients, before, after),
        (dcoefficients, dbefore, dafter),
    )
    return dlast, (dy.astype(plan.dtype),)

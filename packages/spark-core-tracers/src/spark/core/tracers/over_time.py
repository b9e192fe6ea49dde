"""A recurrence over time: step after step, or in parallel, with one derivative for both."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .coefficients import Decay
from .law import Law, Traces
from .maps import Relaxation, clip, linear_scan, run_parallel, within
from .rounding import Noise, round_state
from .ways import CHUNK

Series: TypeAlias = tuple[Float[Array, "time *shape"], ...]
"""One array per stage, or per output."""

# On a CPU, lax.scan before jax 0.12 stacks bfloat16 outputs in quadratic time, but not their bits.
_STACK_BFLOAT16_BITS = jax.__version_info__ < (0, 12)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is static in a run over time.

    Attributes:
        law: The law.
        dtype: Storage dtype of the traces.
        parallel: Whether to compose the steps in a tree over time.
        every: Whether to return every trace at each step, instead of the output alone.
    """

    law: Law[Any]
    dtype: jnp.dtype
    parallel: bool
    every: bool = False


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def run(plan: Plan, k: Any, traces: Traces, noise: Noise, xs: Array) -> tuple[Traces, Series]:
    """Take one step per leading entry of `xs`.

    Args:
        plan: What to run, and how.
        k: Coefficients of the law.
        traces: Traces before the first step, in the arithmetic dtype.
        noise: Where stochastic rounding draws from.
        xs: Inputs, time first.

    Returns:
        The traces after the last step, in the arithmetic dtype; and, in the storage dtype and for
        each step, the output or, if the plan says so, every trace.
    """
    if len(xs) == 0:
        count = len(traces) if plan.every else 1
        return traces, (jnp.empty((0, *traces[0].shape), plan.dtype),) * count
    way = _parallel if plan.parallel else _sequential
    return way(plan, k, traces, noise, xs)


def _sequential(
    plan: Plan, k: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Series]:
    as_bits = plan.dtype == jnp.bfloat16 and _STACK_BFLOAT16_BITS

    def body(carry: tuple[Traces, Array], x: Array) -> tuple[tuple[Traces, Array], Series]:
        traces, steps = carry
        here = noise._replace(steps=steps)
        kept, y = plan.law.advance(k, plan.dtype, traces, here, x)
        out = tuple(each.astype(plan.dtype) for each in (kept if plan.every else (y,)))
        if as_bits:
            out = tuple(lax.bitcast_convert_type(each, jnp.uint16) for each in out)
        return (kept, steps + np.uint32(1)), out

    (traces, _), series = lax.scan(body, (traces, noise.steps), xs)
    if as_bits:
        series = tuple(lax.bitcast_convert_type(each, plan.dtype) for each in series)
    return traces, series


def _parallel(plan: Plan, k: Any, traces: Traces, noise: Noise, xs: Array) -> tuple[Traces, Series]:
    """Chunks in sequence, each composed in a tree over time: memory stays linear."""
    size = _chunk(plan, xs, traces)
    chunks, rest = divmod(len(xs), size)

    def body(
        carry: tuple[Traces, Array], xs: Array
    ) -> tuple[tuple[Traces, Array], tuple[Traces, Series]]:
        traces, steps = carry
        here = noise._replace(steps=steps)
        after, kept, series = _compose(plan, k, traces, here, xs)
        return (after, steps + np.uint32(len(xs))), (kept, series)

    head = xs[: chunks * size].reshape(chunks, size, *xs.shape[1:])
    carry, (kept, series) = lax.scan(body, (traces, noise.steps), head)
    kept = tuple(each[-1] for each in kept)
    series = tuple(each.reshape(chunks * size, *each.shape[2:]) for each in series)
    if rest:
        _, (kept, tail) = body(carry, xs[chunks * size :])
        series = tuple(jnp.concatenate(pair) for pair in zip(series, tail, strict=True))
    return kept, series


def _compose(
    plan: Plan, k: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Traces, Series]:
    """Last traces, the same as rounded into the state, and the series of a chunk."""
    law, wide = plan.law, traces[0].dtype
    limits = law.range(plan.dtype)
    x = _inputs(xs, traces[0].ndim).astype(wide)
    x = law.marked(x)
    over_time = _coefficients_over_time(k)
    before: Series = ()
    after: Series = ()
    for stage, trace in enumerate(traces):
        previous = (before[-1], after[-1]) if stage else (None, None)
        moves = law.relaxation(stage, over_time, x, *previous)
        y = jnp.clip(run_parallel(moves, trace, law.bounds and limits), *limits)
        before += (_shifted(trace, y),)
        after += (y,)

    def rounded(stage: int, y: Array, step: Array) -> Array:
        return round_state(y, plan.dtype, noise._replace(steps=step), stage)

    steps = noise.steps + jnp.arange(len(xs), dtype=jnp.uint32)
    kept = tuple(
        jax.vmap(functools.partial(rounded, stage))(y, steps) for stage, y in enumerate(after)
    )
    out = kept if plan.every else (law.output(over_time, before, kept),)
    return (
        tuple(y[-1] for y in after),
        tuple(y[-1] for y in kept),
        tuple(y.astype(plan.dtype) for y in out),
    )


def _chunk(plan: Plan, xs: Array, traces: Traces) -> int:
    """How many steps are taken at once."""
    if not plan.parallel:
        return 1
    return min(len(xs), max(1, CHUNK // max(1, math.prod(traces[0].shape))))


@run.defjvp
def _run_jvp(
    plan: Plan, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Traces, Series], tuple[Traces, Series]]:
    (k, traces, noise, xs), (dk, dtraces, _, dxs) = primals, tangents
    last, kept = run(dataclasses.replace(plan, every=True), k, traces, noise, xs)
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        dxs = None
    if len(xs) == 0:
        return (last, kept[-1:]), (dtraces, tuple(jnp.zeros_like(y) for y in kept[-1:]))
    linear = functools.partial(_tangents, plan, k, traces, xs, kept)
    # As a tangent of itself, which it is: jax 0.8 transposes no scan that it does not know as one.
    at = jax.tree.map(jnp.zeros_like, (dk, dtraces, dxs))
    dlast, dout = jax.jvp(linear, at, (dk, dtraces, dxs))[1]
    if plan.every:
        return (last, kept), (dlast, dout)
    wide = traces[0].dtype
    after = tuple(y.astype(wide) for y in kept)
    before = tuple(_shifted(start, y) for start, y in zip(traces, after, strict=True))
    y = plan.law.output(_coefficients_over_time(k), before, after)
    return (last, (y.astype(plan.dtype),)), (dlast, dout)


def _tangents(
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
    size = _chunk(plan, xs, traces)
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
            return _chunk_tangents(plan, (k, starts, here(xs), after), (dk, dbefore, dx))

        return tangents(k, traces, xs, kept, chunk, dk, dbefore, dx)

    head = None if dxs is None else dxs[: chunks * size].reshape(chunks, size, *dxs.shape[1:])
    dlast, series = lax.scan(functools.partial(body, size), dtraces, (jnp.arange(chunks), head))
    series = tuple(each.reshape(chunks * size, *each.shape[2:]) for each in series)
    if rest:
        tail = None if dxs is None else dxs[chunks * size :]
        dlast, ends = body(rest, dlast, (jnp.asarray(chunks), tail))
        series = tuple(jnp.concatenate(pair) for pair in zip(series, ends, strict=True))
    return dlast, series


def _chunk_tangents(
    plan: Plan, at: tuple[Any, Traces, Array, Series], tangents: tuple[Any, Traces, Array | None]
) -> tuple[Traces, Series]:
    (k, traces, xs, kept), (dk, dtraces, dxs) = at, tangents
    law, wide = plan.law, traces[0].dtype
    limits = law.range(plan.dtype)
    after = tuple(y.astype(wide) for y in kept)
    before = tuple(_shifted(start, y) for start, y in zip(traces, after, strict=True))
    x = _inputs(xs, traces[0].ndim).astype(wide)
    dx = jnp.zeros_like(x) if dxs is None else _inputs(dxs, traces[0].ndim).astype(wide)

    dbefore: Series = ()
    dafter: Series = ()
    for stage in range(len(traces)):
        previous = (before[stage - 1], after[stage - 1]) if stage else ()
        dprevious = (dbefore[stage - 1], dafter[stage - 1]) if stage else ()

        def moves(k: Any, x: Array, *previous: Array, stage: int = stage) -> Relaxation:
            return law.relaxation(stage, _coefficients_over_time(k), x, *(previous or (None, None)))

        def step(*arguments: Any, stage: int = stage, moves: Any = moves) -> Array:
            y: Array = moves(*arguments)(before[stage])
            return y if law.bounds is None else clip(y, *limits)

        _, offset = jax.jvp(step, (k, x, *previous), (dk, dx, *dprevious))
        here = moves(k, x, *previous)
        decay = here.decay
        if law.bounds is not None:
            # A clipped step forgets where it came from.
            inside = within(here(before[stage]), *limits)
            decay = Decay(jnp.where(inside, decay.left, 0), jnp.where(inside, decay.lost, 1))
        dy = linear_scan(decay, offset, dtraces[stage])
        dbefore += (_shifted(dtraces[stage], dy),)
        dafter += (dy,)

    dlast = tuple(dy[-1] for dy in dafter)
    if plan.every:
        return dlast, tuple(dy.astype(plan.dtype) for dy in dafter)
    _, dy = jax.jvp(
        lambda k, before, after: law.output(_coefficients_over_time(k), before, after),
        (k, before, after),
        (dk, dbefore, dafter),
    )
    return dlast, (dy.astype(plan.dtype),)


def _inputs(xs: Array, rank: int) -> Array:
    """Inputs with one axis for time and one for each axis of the state."""
    return xs.reshape(len(xs), *(1,) * (rank + 1 - xs.ndim), *xs.shape[1:])


def _coefficients_over_time(k: Any) -> Any:
    """Coefficients with an axis of size 1 for time; scalars stay scalars."""
    return jax.tree.map(lambda a: a[None] if a.ndim else a, k)


def _shifted(start: Array, series: Array) -> Array:
    """The series one step earlier."""
    return jnp.concatenate([start[None], series[:-1]]) if len(series) else series

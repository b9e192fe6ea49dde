"""A recurrence over time: step after step, or in parallel, with one derivative for both."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ._arguments import one_of
from ._maps import Series, coefficients_over_time, inputs, run_parallel, shifted
from ._rounding import Noise, round_state
from ._state import Traces
from ._tangents import tangents_over_time

if TYPE_CHECKING:
    from ._recurrence import Recurrence

Method = Literal["auto", "sequential", "parallel"]
"""How to run over time: step by step, in a tree, or whichever was measured faster."""

METHODS = get_args(Method)

# The parallel way wins on a platform from this number of steps on, up to this number of elements;
# a platform is absent where it never wins, or was not measured.
#
# CPU: the sequential scan wins at every length and width (`spark-bench choose`).
# GPU: the parallel way takes 0.006 to 1.23 times as long, from 10 to 10 000 steps and 1 to 10^6
# elements; beyond these it is not measured (NVIDIA H100 80GB HBM3, jax 0.11.2, 2026-11-27,
# `spark-bench choose --from docs/benchmarks/h100.json`).
PARALLEL_WINS: Mapping[str, tuple[int, int]] = {"gpu": (10, 10**6)}

# Elements x steps that the parallel way composes at a time, which bounds its memory. It takes more
# of them to keep a GPU busy. `Tracer` on the same one, ms, the best of 5:
#
# steps x elements    2^18   2^20   2^22   2^24   2^26
# 10 000 x 1000      1.529  0.988  0.647  0.391  0.413
# 1000 x 10 000      1.256  0.658  0.508  0.376  0.346
# 100 x 10^6         1.745  1.744  1.062  1.286  0.989
CHUNKS: Mapping[str, int] = {"gpu": 1 << 24}
CHUNK = 1 << 20
"""The chunk of a platform that `CHUNKS` does not name."""

# On a CPU, lax.scan before jax 0.12 stacks bfloat16 outputs in quadratic time, but not their bits.
_STACK_BFLOAT16_BITS = jax.__version_info__ < (0, 12)


def in_parallel(
    method: Method,
    time: int,
    elements: int,
    wins: Mapping[str, tuple[int, int]] = PARALLEL_WINS,
    platform: str | None = None,
) -> bool:
    """Whether to run in parallel over time.

    Args:
        method: The method asked for.
        time: Number of steps.
        elements: Number of elements of the state.
        wins: For each platform, the shortest sequence and the largest number of elements for which
            `"auto"` takes the parallel way.
        platform: Where to run; None takes the one that JAX takes.

    Raises:
        ValueError: If there is no such method.
    """
    one_of("method", method, METHODS)
    if method != "auto":
        return method == "parallel"
    shortest, widest = wins.get(platform or jax.default_backend(), (time + 1, 0))
    return time >= shortest and elements <= widest


def chunk() -> int:
    """Elements x steps that the parallel way composes at a time on the default platform."""
    return CHUNKS.get(jax.default_backend(), CHUNK)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Static (hashable) arguments of a scan.

    Attributes:
        recurrence: The recurrence to run.
        dtype: Storage dtype of the traces.
        parallel: Whether to compose the steps in a tree over time.
        keep_traces: Whether to return every trace at each step, instead of the output alone.
        size: Elements x steps that the parallel way composes at a time;
            by default the size measured to be fast on this platform.
    """

    recurrence: Recurrence[Any]
    dtype: jnp.dtype
    parallel: bool
    keep_traces: bool = False
    size: int = dataclasses.field(default_factory=chunk)

    def chunk(self, time: int, shape: tuple[int, ...]) -> int:
        """How many of `time` steps are taken at once, for traces of `shape`."""
        if not self.parallel:
            return 1
        return min(time, max(1, self.size // max(1, math.prod(shape))))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def run(
    plan: Plan, coefficients: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Series]:
    """Take one step per leading entry of `xs`.

    Args:
        plan: The static arguments.
        coefficients: Coefficients of the recurrence.
        traces: Traces before the first step, in the compute dtype.
        noise: Random bits of stochastic rounding.
        xs: Inputs, time first.

    Returns:
        The traces after the last step, in the compute dtype; and, in the storage dtype and for
        each step, the output or, if the plan says so, every trace.
    """
    if len(xs) == 0:
        count = len(traces) if plan.keep_traces else 1
        return traces, (jnp.empty((0, *traces[0].shape), plan.dtype),) * count
    way = _parallel if plan.parallel else _sequential
    return way(plan, coefficients, traces, noise, xs)


def _sequential(
    plan: Plan, coefficients: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Series]:
    as_bits = plan.dtype == jnp.bfloat16 and _STACK_BFLOAT16_BITS

    def body(carry: tuple[Traces, Array], x: Array) -> tuple[tuple[Traces, Array], Series]:
        traces, steps = carry
        now = noise._replace(steps=steps)
        kept, y = plan.recurrence.advance(coefficients, plan.dtype, traces, now, x)
        out = tuple(each.astype(plan.dtype) for each in (kept if plan.keep_traces else (y,)))
        if as_bits:
            out = tuple(lax.bitcast_convert_type(each, jnp.uint16) for each in out)
        return (kept, steps + np.uint32(1)), out

    (traces, _), series = lax.scan(body, (traces, noise.steps), xs)
    if as_bits:
        series = tuple(lax.bitcast_convert_type(each, plan.dtype) for each in series)
    return traces, series


def _parallel(
    plan: Plan, coefficients: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Series]:
    """Chunks in sequence, each composed in a tree over time: memory stays linear."""
    size = plan.chunk(len(xs), traces[0].shape)
    chunks, rest = divmod(len(xs), size)

    def body(
        carry: tuple[Traces, Array], xs: Array
    ) -> tuple[tuple[Traces, Array], tuple[Traces, Series]]:
        traces, steps = carry
        now = noise._replace(steps=steps)
        after, kept, series = _compose(plan, coefficients, traces, now, xs)
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
    plan: Plan, coefficients: Any, traces: Traces, noise: Noise, xs: Array
) -> tuple[Traces, Traces, Series]:
    """Last traces, the same as rounded into the state, and the series of a chunk."""
    recurrence = plan.recurrence
    limits = recurrence.range(plan.dtype)
    x = recurrence.cast_input(inputs(xs, traces[0].ndim), traces[0].dtype)
    over_time = coefficients_over_time(coefficients)
    before: Series = ()
    after: Series = ()
    for stage, trace in enumerate(traces):
        previous = (before[-1], after[-1]) if stage else (None, None)
        moves = recurrence.relaxation(stage, over_time, x, *previous)
        y = recurrence.bounded(run_parallel(moves, trace, recurrence.bounds and limits), plan.dtype)
        before += (shifted(trace, y),)
        after += (y,)

    def rounded(stage: int, y: Array, step: Array) -> Array:
        y = jnp.clip(y, *limits)
        return round_state(y, plan.dtype, noise._replace(steps=step), stage)

    steps = noise.steps + jnp.arange(len(xs), dtype=jnp.uint32)
    kept = tuple(
        jax.vmap(functools.partial(rounded, stage))(y, steps) for stage, y in enumerate(after)
    )
    out = kept if plan.keep_traces else (recurrence.output(over_time, before, kept),)
    return (
        tuple(y[-1] for y in after),
        tuple(y[-1] for y in kept),
        tuple(y.astype(plan.dtype) for y in out),
    )


@run.defjvp
def _run_jvp(
    plan: Plan, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[tuple[Traces, Series], tuple[Traces, Series]]:
    (coefficients, traces, noise, xs), (dcoefficients, dtraces, _, dxs) = primals, tangents
    last, kept = run(dataclasses.replace(plan, keep_traces=True), coefficients, traces, noise, xs)
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        dxs = None
    if len(xs) == 0:
        none = kept if plan.keep_traces else kept[-1:]
        return (last, none), (dtraces, tuple(jnp.zeros_like(y) for y in none))
    linear = functools.partial(tangents_over_time, plan, coefficients, traces, xs, kept)
    # jax 0.8 transposes a scan only if it came from jax.jvp; `linear` is its own jvp at 0.
    at = jax.tree.map(jnp.zeros_like, (dcoefficients, dtraces, dxs))
    dlast, dout = jax.jvp(linear, at, (dcoefficients, dtraces, dxs))[1]
    if plan.keep_traces:
        return (last, kept), (dlast, dout)
    after = tuple(y.astype(traces[0].dtype) for y in kept)
    return (last, (outputs(plan, coefficients, traces, after),)), (dlast, dout)


def outputs(plan: Plan, coefficients: Any, traces: Traces, after: Series) -> Array:
    """The output of each step, by the traces before the first and after each."""
    before = tuple(shifted(start, y) for start, y in zip(traces, after, strict=True))
    y = plan.recurrence.output(coefficients_over_time(coefficients), before, after)
    return y.astype(plan.dtype)

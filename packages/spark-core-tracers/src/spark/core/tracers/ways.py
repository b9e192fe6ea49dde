"""Which way to run a recurrence over time, and by what chunks: tables, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import jax

from .arguments import one_of

Method = Literal["auto", "sequential", "parallel"]
"""How to run over time: step by step, in a tree, or whichever was measured faster."""

METHODS = get_args(Method)

# Shortest sequence and largest number of elements from which on, and up to which, the parallel way
# wins on a platform; absent where it never does, or where nobody has measured yet.
#
# CPU: the sequential scan wins at every length and width (see docs/measurements.md).
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


def choose(
    method: Method,
    time: int,
    elements: int,
    wins: Mapping[str, tuple[int, int]] = PARALLEL_WINS,
    platform: str | None = None,
) -> bool:
    """Whether to run in parallel over time.

    Args:
        method: What the caller asks for.
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
    """Elements x steps that the parallel way composes at a time on the platform that JAX takes."""
    return CHUNKS.get(jax.default_backend(), CHUNK)

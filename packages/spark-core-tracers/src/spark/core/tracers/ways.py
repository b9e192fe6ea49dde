"""Which way to run a recurrence over time: one table, and the measurement behind it."""

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
# CPU: the sequential scan wins at every length and width (`spark-bench choose`; see the changelog).
PARALLEL_WINS: Mapping[str, tuple[int, int]] = {}

CHUNK = 1 << 20
"""Elements x steps that the parallel way composes at a time, which bounds its memory."""


def choose(
    method: Method,
    time: int,
    elements: int,
    wins: Mapping[str, tuple[int, int]] = PARALLEL_WINS,
) -> bool:
    """Whether to run in parallel over time.

    Args:
        method: What the caller asks for.
        time: Number of steps.
        elements: Number of elements of the state.
        wins: For each platform, the shortest sequence and the largest number of elements for which
            `"auto"` takes the parallel way.

    Raises:
        ValueError: If there is no such method.
    """
    one_of("method", method, METHODS)
    if method != "auto":
        return method == "parallel"
    shortest, widest = wins.get(jax.default_backend(), (time + 1, 0))
    return time >= shortest and elements <= widest

"""The engine of CPUs: loops over spikes that numba compiles, called by XLA.

`call` is what the projections use. numba is imported when a program for a CPU is first lowered.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array

_LOCK = threading.Lock()

# Of the sources that handlers are compiled from, of which numba looks at one alone.
_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
REVISION = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()
"""What numba knows all of them by."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Dtypes of weights that kernels read."""


@functools.cache
def available() -> bool:
    """Whether the engine runs here; warns once if it does not."""
    try:
        from . import bridge, header  # noqa: F401

        header.version()
    except Exception as error:
        warnings.warn(
            f"spikes are projected by XLA alone, right but slower: {error}.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def call(
    kernel: str,
    operands: Sequence[Array],
    results: Any,
    aliases: dict[int, int] | None = None,
    **static: Any,
) -> Any:
    """Call a kernel, in a program for a CPU.

    Args:
        kernel: A key of `handlers.HANDLERS`.
        operands: Its operands.
        results: Shapes and dtypes of its results.
        aliases: Which operands a result takes the place of, by their numbers.
        **static: What else its handler is made from.
    """
    dtypes = [each.dtype.name for each in (*operands, *jax.tree.leaves(results))]
    name = _target(kernel, tuple(dtypes), tuple(sorted(static.items())))
    run: Any = jax.ffi.ffi_call(name, results, input_output_aliases=aliases)
    return run(*operands)


def _target(kernel: str, dtypes: tuple[str, ...], static: tuple[tuple[str, Any], ...]) -> str:
    """The target for a kernel and dtypes, made when it is first asked for."""
    with _LOCK:
        return _made(kernel, dtypes, static)


@functools.cache
def _made(kernel: str, dtypes: tuple[str, ...], static: tuple[tuple[str, Any], ...]) -> str:
    from . import bridge, handlers, header

    encoded = tuple(bridge.ENCODED[each] for each in dtypes)
    handler = handlers.HANDLERS[kernel](
        encoded, **dict(static), version=header.version(), revision=REVISION
    )
    name = "_".join(["spark_synapses", kernel, *dtypes, *(str(value) for _, value in static)])
    bridge.register(name, handler)
    return name

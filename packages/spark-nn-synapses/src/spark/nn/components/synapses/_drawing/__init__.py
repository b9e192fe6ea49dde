"""Connections, weights and delays drawn from counters, a line of inputs or targets at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW = 1 << 16
"""Up to so many connections NumPy lays out sooner than numba is imported."""


def freeze(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same array, which nobody writes to any more: it need not be copied."""
    for each in (array.base, array):
        if isinstance(each, np.ndarray):
            each.setflags(write=False)
    return array


def engine_for(connections: int) -> Any:
    """The module `engine`, or None for few connections, or if numba cannot be imported."""
    if connections <= _FEW:
        return None
    try:
        from . import engine
    except ImportError:
        return None
    return engine

"""Connections, weights and delays drawn from counters, a line of inputs or targets at a time."""

from __future__ import annotations

from typing import Any

_FEW = 1 << 16
"""Up to so many connections NumPy lays out sooner than numba is imported."""


def engine_for(connections: int) -> Any:
    """The module `engine`, or None for few connections, or if numba cannot be imported."""
    if connections <= _FEW:
        return None
    try:
        from . import engine
    except ImportError:
        return None
    return engine

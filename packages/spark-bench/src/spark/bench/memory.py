"""Memory that a call needs: of the process on Linux, and of an accelerator."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import jax

_SELF = Path("/proc/self")


def peak_of(call: Callable[[], object]) -> int | None:
    """Bytes that the resident set grows by during a call, at its peak; None where unknown.

    The kernel counts pages as they are touched, so that reused allocations do not show: for a
    program that was called before, this is a lower bound.
    """
    try:
        # Linux: 5 resets the high-water mark of the resident set to what it is now.
        (_SELF / "clear_refs").write_text("5")
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before)
    except (OSError, KeyError):
        return None


def largest_resident() -> int | None:
    """Largest resident set of this process so far, bytes."""
    if sys.platform == "win32":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_peak() -> int | None:
    """Largest number of bytes in use on the first accelerator so far; None on a CPU."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    statistics = device.memory_stats() or {}
    return statistics.get("peak_bytes_in_use")


def _status(field: str) -> int:
    for line in (_SELF / "status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)

"""Where there is a spike."""

from __future__ import annotations

from jaxtyping import Array, Bool


def active(spikes: Array) -> Bool[Array, "..."]:
    """Where there is a spike, graded or not."""
    return spikes if spikes.dtype == bool else spikes != 0

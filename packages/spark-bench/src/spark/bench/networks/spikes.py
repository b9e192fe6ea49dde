"""Spikes as a list of events: the step and the neuron of each."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int32]]"


@dataclasses.dataclass(frozen=True)
class Spikes:
    """Spikes of a network.

    Attributes:
        step: Step of each spike, ascending; one of index n ends at (n + 1) dt.
        neuron: Neuron of each.
        steps: Number of steps that were run.
        neurons: Number of neurons.
        dt: Time step, ms.
    """

    step: Indices
    neuron: Indices
    steps: int
    neurons: int
    dt: float

    def __len__(self) -> int:
        """Number of spikes."""
        return len(self.step)

    @property
    def times(self) -> np.ndarray:
        """When each spike is, ms."""
        return (self.step + 1) * self.dt

    def of(self, neurons: range, after: float = 0.0) -> Spikes:
        """Those of some neurons, counted from 0, from a time on.

        Args:
            neurons: Which.
            after: From when on, ms; the steps before are taken off.
        """
        first = round(after / self.dt)
        kept = (self.neuron >= neurons.start) & (self.neuron < neurons.stop) & (self.step >= first)
        return Spikes(
            self.step[kept] - first,
            self.neuron[kept] - neurons.start,
            self.steps - first,
            len(neurons),
            self.dt,
        )


def events(raster: np.ndarray) -> tuple[Indices, Indices]:
    """Row and column of each true entry.

    Args:
        raster: Booleans of shape `(steps, neurons)`, C-contiguous.
    """
    flat = raster.reshape(-1)
    whole = flat.size // 8 * 8
    # Eight at a time: most are silent.
    words = np.flatnonzero(flat[:whole].view(np.uint64))
    near = (8 * words[:, None] + np.arange(8)).reshape(-1)
    near = np.concatenate([near, np.arange(whole, flat.size)])
    found = near[flat[near]]
    step, neuron = np.divmod(found, raster.shape[1])
    return step.astype(np.int32), neuron.astype(np.int32)

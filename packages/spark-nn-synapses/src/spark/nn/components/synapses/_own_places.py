"""Where a grid of devices has what belongs to each connection, if these have their own of it."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

NumPyArray = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class OwnPlaces:
    """The places of connections with traces or spikes of their own.

    Attributes:
        pre: Input of each connection.
        post: Target of each connection.
        shape: Number of inputs and of targets.
        grid: How many devices there are along the inputs, and along the targets.
    """

    pre: NumPyArray
    post: NumPyArray
    shape: tuple[int, int]
    grid: tuple[int, int] = (1, 1)

    @property
    def own(self) -> tuple[int, int]:
        """Number of inputs and of targets of a device."""
        return self.shape[0] // self.grid[0], self.shape[1] // self.grid[1]

    @property
    def devices(self) -> int:
        """Number of devices."""
        return math.prod(self.grid)

    @functools.cached_property
    def device(self) -> NumPyArray:
        """The device of each connection; those along the targets come next to each other."""
        found: NumPyArray = self.pre // max(self.own[0], 1) * self.grid[1] + self._side
        return found

    @functools.cached_property
    def most(self) -> int:
        """The largest number of connections of a device: each has so many entries."""
        return int(np.bincount(self.device, minlength=self.devices).max())

    @functools.cached_property
    def entries(self) -> NumPyArray:
        """Index of each in arrays of all devices, one after the other."""
        found: NumPyArray = self.device * self.most + ranks(self.device, self.devices)[0]
        return found

    @functools.cached_property
    def traces(self) -> NumPyArray:
        """Index of the trace of each, where traces have the axes `(inputs, grid[1] * width)`.

        The traces that an input has on each device along the targets lie side by side.
        """
        rank, width = self._of_inputs
        found: NumPyArray = (self.pre * self.grid[1] + self._side) * width + rank
        return found

    @functools.cached_property
    def sums(self) -> NumPyArray:
        """Index of the trace of each, where those of all devices lie one after the other."""
        rank, width = self._of_inputs
        row = self.device * self.own[0] + self.pre % max(self.own[0], 1)
        found: NumPyArray = row * width + rank
        return found

    @property
    def width(self) -> int:
        """Number of traces that an input has on a device: its most connections, at least 1."""
        return self._of_inputs[1]

    @property
    def _side(self) -> NumPyArray:
        found: NumPyArray = self.post // max(self.own[1], 1)
        return found

    @functools.cached_property
    def _of_inputs(self) -> tuple[NumPyArray, int]:
        return ranks(self.pre * self.grid[1] + self._side, self.shape[0] * self.grid[1])


def ranks(keys: NumPyArray, size: int) -> tuple[NumPyArray, int]:
    """How many of the same key come before each, and the largest number of a key, at least 1."""
    lengths = np.bincount(keys, minlength=size)
    order = np.argsort(keys, kind="stable")
    found = np.empty(len(keys), np.int64)
    found[order] = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return found, max(1, int(lengths.max(initial=0)))

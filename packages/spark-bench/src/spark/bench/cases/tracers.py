"""The tracers that cases run: their names, parameters, and how many stages each has."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.tracers import (
    BaseTracer,
    DoubleTracer,
    Method,
    RUTracer,
    SaturableDoubleTracer,
    SaturableTracer,
    Tracer,
)

from ..case import Program

RATE = 0.02
"""Part of the elements that spike in a step, unless a case says otherwise."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A tracer class with typical parameters.

    Attributes:
        cls: The class.
        parameters: Its arguments after the shape.
        stages: Traces per element.
        flop: Floating-point operations of one update of one element.
    """

    cls: type[BaseTracer]
    parameters: tuple[float, ...]
    stages: int
    flop: int

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.cls.__name__

    def make(self, shape: int | tuple[int, ...], dtype: str) -> BaseTracer:
        """A tracer at rest."""
        cls: Any = self.cls
        tracer: BaseTracer = cls(shape, *self.parameters, dtype=dtype)
        return tracer

    def state_bytes(self, elements: int, dtype: str) -> int:
        """Size of its traces."""
        return self.stages * elements * jnp.dtype(dtype).itemsize


KINDS = (
    Kind(Tracer, (10.0,), stages=1, flop=3),
    Kind(SaturableTracer, (10.0,), stages=1, flop=5),
    Kind(DoubleTracer, (5.0, 10.0), stages=2, flop=7),
    Kind(SaturableDoubleTracer, (5.0, 10.0), stages=2, flop=11),
    Kind(RUTracer, (800.0, 50.0, 0.5), stages=2, flop=15),
)


def spikes(shape: tuple[int, ...], rate: float = RATE) -> np.ndarray[Any, Any]:
    """Bernoulli spikes, the same in every process."""
    return np.random.default_rng(0).random(shape) < rate


def on_device(array: Any) -> Array:
    """An array that has arrived on the device."""
    return jax.block_until_ready(jnp.asarray(array))


def scanned(
    kind: Kind, dtype: str, method: Method, steps: int, shape: int | tuple[int, ...]
) -> Program:
    """A whole sequence of spikes through a tracer."""
    tracer = kind.make(shape, dtype)
    xs = on_device(spikes((steps, *(shape if isinstance(shape, tuple) else (shape,)))))
    return lambda: tracer.scan(xs, method=method)

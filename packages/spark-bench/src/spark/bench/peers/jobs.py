"""The work that peers are compared on: one network step after another, at several sizes."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..case import Counts
from ..conform import references

Inputs = Mapping[str, np.ndarray[Any, Any]]

RATE = 0.02
"""Part of the inputs that spike in a step."""

SPARSE_RATE = 0.01
"""The same, along sparse connections."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A piece of work with inputs, parameters and reference.

    Attributes:
        name: Unique; parts are separated by slashes. Cases of `run` have the same names, with that
            of a program.
        kind: Name of the function of an adapter.
        steps: Number of steps.
        make: Makes the inputs, from a random generator.
        parameters: Keyword arguments of the function.
        reference: From inputs to the expected output, in float64.
        counts: Counts of the work.
        sizes: Values for the axes of a figure.
        quick: Whether it is small enough for the quick suite.
    """

    name: str
    kind: str
    steps: int
    make: Callable[[np.random.Generator], Inputs]
    parameters: Mapping[str, Any]
    reference: Callable[[Inputs], np.ndarray[Any, Any]]
    counts: Counts
    sizes: Mapping[str, float]
    quick: bool = False


TAU = 5.0
PLASTICITY = {"R_tau": 200.0, "U_tau": 50.0, "scale_U": 0.3}


def jobs() -> list[Job]:
    """Every piece of work, from small to large."""
    return [
        _current(100, steps=1000, quick=True),
        _current(1000, steps=1000, quick=True),
        _current(4000, steps=100),
        _current(1000, steps=100, batch=32),
        _trace(10**6, steps=200),
        _plasticity(10**5, steps=200),
        _sparse(10_000, fan_out=100, steps=1000),
        _sparse(10_000, fan_out=100, steps=1000, probability=0.01),
    ]


def select_jobs(suite: str, patterns: Sequence[str] = ()) -> list[Job]:
    """The work of a suite, or of any suite if patterns are given.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(job.name, pattern) for job in jobs()):
            names = ", ".join(job.name for job in jobs())
            raise ValueError(f"no work matches {pattern!r}; there are {names}.")
    if patterns:
        return [j for j in jobs() if any(fnmatch.fnmatchcase(j.name, p) for p in patterns)]
    return [job for job in jobs() if job.quick or suite == "full"]


def _current(size: int, steps: int, batch: int = 1, quick: bool = False) -> Job:
    """The trace of a product of kernel and spikes: a projection, time constant shared."""
    shape = (steps, size) if batch == 1 else (steps, batch, size)

    def make(rng: np.random.Generator) -> Inputs:
        kernel = rng.standard_normal((size, size), np.float32)
        return {"spikes": rng.random(shape) < RATE, "kernel": kernel}

    events = round(RATE * size * batch) * size * steps
    return Job(
        f"synapses/{size}x{size}/float32/batch={batch}/activity={RATE:g}",
        "current",
        steps,
        make,
        {"tau": TAU, "dt": 1.0, "dtype": "float32", "keep": "every"},
        lambda inputs: references.current(inputs["spikes"], inputs["kernel"], TAU),
        Counts(
            element_updates=steps * batch * size,
            synaptic_events=events,
            # The rows of the inputs that spike in any sample cross memory in each step.
            bytes_moved=round(4 * size * size * (1 - (1 - RATE) ** batch)) * steps,
            flop=2 * events,
        ),
        {"elements": size, "steps": steps, "batch": batch},
        quick,
    )


def _trace(size: int, steps: int) -> Job:
    """The last value of an exponential trace."""
    return Job(
        f"scan/Tracer/float32/{steps}x{size}",
        "exponential",
        steps,
        lambda rng: {"xs": rng.random((steps, size), np.float32) < RATE},
        {"tau": TAU, "dt": 1.0, "dtype": "float32", "keep": "last"},
        lambda inputs: references.exponential(inputs["xs"], TAU)[-1],
        Counts(element_updates=steps * size, bytes_moved=steps * size, flop=2 * steps * size),
        {"elements": size, "steps": steps, "batch": 1},
    )


def _plasticity(size: int, steps: int) -> Job:
    """The last release of short-term plasticity."""
    return Job(
        f"scan/RUTracer/float32/{steps}x{size}",
        "plasticity",
        steps,
        lambda rng: {"xs": rng.random((steps, size), np.float32) < RATE},
        PLASTICITY | {"dt": 1.0, "dtype": "float32", "keep": "last"},
        lambda inputs: references.plasticity(inputs["xs"], **PLASTICITY)[-1],
        Counts(element_updates=steps * size, bytes_moved=steps * size, flop=12 * steps * size),
        {"elements": size, "steps": steps, "batch": 1},
    )


def _sparse(size: int, fan_out: int, steps: int, probability: float | None = None) -> Job:
    """The last value of the trace of spikes through sparse connections.

    Each input has `fan_out` connections, or on average as many, each drawn with a probability.
    """

    def make(rng: np.random.Generator) -> Inputs:
        counts = np.full(size, fan_out)
        if probability is not None:
            counts = rng.binomial(size, probability, size)
        pre = np.repeat(np.arange(size), counts)
        post = np.concatenate([np.sort(rng.choice(size, k, replace=False)) for k in counts])
        return {
            "spikes": rng.random((steps, size)) < SPARSE_RATE,
            "pre": pre.astype(np.int32),
            "post": post.astype(np.int32),
            "weights": rng.random(len(pre), np.float32),
        }

    def expected(inputs: Inputs) -> np.ndarray[Any, Any]:
        spikes, pre, post, weights = map(inputs.__getitem__, ("spikes", "pre", "post", "weights"))
        return references.sparse(spikes, pre, post, weights, size, TAU)[-1]

    events = round(SPARSE_RATE * size * fan_out) * steps
    which = f"fan_out={fan_out}" if probability is None else f"probability={probability:g}"
    return Job(
        f"sparse/{size}x{size}/{which}",
        "sparse",
        steps,
        make,
        {"targets": size, "tau": TAU, "dt": 1.0, "dtype": "float32", "keep": "last"},
        expected,
        Counts(
            element_updates=steps * size,
            synaptic_events=events,
            # Target and weight of each connection of an input that spikes.
            bytes_moved=8 * events,
            flop=2 * events,
        ),
        {"elements": size, "steps": steps, "batch": 1},
    )

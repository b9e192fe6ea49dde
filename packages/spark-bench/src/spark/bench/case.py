"""What a benchmark is: a declared case, and what one call of it counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Program: TypeAlias = Callable[[], Any]
"""What is timed: it returns the JAX arrays that have to be ready before the clock stops."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """What one call of a case does, independently of how it is done.

    Attributes:
        element_updates: Elements of a state, times the steps that each takes.
        synaptic_events: Weights that spikes carry to a target.
        bytes_moved: Bytes that have to cross memory at least once: inputs, outputs, and the state
            or the kernel where it is needed.
        flop: Floating-point operations of the algorithm.
        dispatches: Programs that the host has to start.
    """

    element_updates: int = 0
    synaptic_events: int = 0
    bytes_moved: int = 0
    flop: int = 0
    dispatches: int = 1


@dataclasses.dataclass(frozen=True)
class Case:
    """A benchmark: small, declared, and nothing computed before `setup`.

    Attributes:
        name: Unique; parts are separated by slashes, from the general to the particular.
        setup: Makes inputs and modules, outside the timed region, and returns what is timed.
        counts: What one call does.
        sizes: What a reader wants on an axis, such as `{"steps": 1000, "elements": 100}`.
        tags: What `list` and `run` select by.
        group: Cases of one group take turns in one process, so that they can be compared.
        reference: Whether the other cases of its group are compared with this one.
        quick: Whether it is part of the quick suite.
        observe: What else is worth a number, such as the memory that a program asks for: called
            once, apart from what is timed.
        fresh: Whether each value is a first call: set up, traced and compiled anew.
        devices: How many devices it takes. CPUs become as many virtual ones as a group needs;
            elsewhere, a case is skipped where there are fewer.
        missing: What this machine lacks for it, such as a compiler, in words, or None: asked before
            `setup`, in the process that measures. A case that lacks something is skipped.
    """

    name: str
    setup: Callable[[], Program]
    counts: Counts = Counts()
    sizes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    group: str = ""
    reference: bool = False
    quick: bool = False
    observe: Callable[[], Mapping[str, float]] | None = None
    fresh: bool = False
    devices: int = 1
    missing: Callable[[], str | None] | None = None

    def __post_init__(self) -> None:
        """A case without a group is one of its own."""
        object.__setattr__(self, "group", self.group or self.name)

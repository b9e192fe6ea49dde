"""A benchmark: a declared case, and the work that one call of it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Program: TypeAlias = Callable[[], Any]
"""The timed function: it returns the JAX arrays that have to be ready before the clock stops."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """The work of one call of a case, independent of the implementation.

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
class Description:
    """The attributes of a `Case` that are recorded beside its times."""

    name: str
    counts: Counts = Counts()
    sizes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    group: str = ""
    reference: bool = False


@dataclasses.dataclass(frozen=True)
class Case:
    """A benchmark: small, declared, and nothing computed before `setup`.

    Attributes:
        name: Unique; parts are separated by slashes, from the general to the particular.
        setup: Makes inputs and modules, outside the timed region, and returns the timed function.
        counts: Work of one call.
        sizes: Values for the axes of a figure, such as `{"steps": 1000, "elements": 100}`.
        tags: `list` and `run` select by them.
        group: Cases of one group take turns in one process, so that they can be compared.
        reference: Whether the other cases of its group are compared with this one.
        quick: Whether it is part of the quick suite.
        observe: Extra measurements, such as peak memory, taken once outside the timed region.
        fresh: Whether each value is a first call: set up, traced and compiled anew.
        devices: Number of devices. CPUs become as many virtual ones as a group needs; elsewhere, a
            case is skipped where there are fewer.
        missing: Says in words why this machine cannot run it, such as for lack of a compiler, or
            returns None: called before `setup`, in the process that measures.
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

    @property
    def description(self) -> Description:
        """The part that is recorded."""
        fields = dataclasses.fields(Description)
        return Description(**{field.name: getattr(self, field.name) for field in fields})

"""Times in one process: first calls apart, warm-up discarded, programs taking turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict

from .case import Case, Program
from .memory import device_peak, largest_resident, peak_of


class Protocol(BaseModel):
    """The protocol of timing a case in one process.

    Attributes:
        rounds: Values per case and process.
        warmups: Rounds before them, discarded.
        shortest: Least duration of a value, s: shorter calls are repeated, and averaged.
    """

    model_config = ConfigDict(frozen=True)

    rounds: int = 5
    warmups: int = 1
    shortest: float = 0.02


class Timing(BaseModel):
    """The times of one case in one process.

    Attributes:
        name: Name of the case.
        values: Time of one call, s; one value per round.
        warmups: The same of discarded rounds.
        loops: Calls per value.
        first_call: Time of the first call, s: tracing, compilation, and one run.
        compile: Compile time of XLA within it, s.
        peak: Bytes that one more call allocates; None where unknown.
        device_peak: Largest number of bytes in use on an accelerator; None on a CPU.
        largest_resident: Largest resident set of the process, bytes.
        observed: Extra measurements, by name.
    """

    name: str
    values: list[float]
    warmups: list[float]
    loops: int
    first_call: float
    compile: float
    peak: int | None = None
    device_peak: int | None = None
    largest_resident: int | None = None
    observed: dict[str, float] = {}


def measure(cases: Sequence[Case], protocol: Protocol) -> list[Timing]:
    """Time cases that take turns, round by round.

    Args:
        cases: Cases of one group.
        protocol: Number of rounds, and their least duration.
    """
    prepared = [_Prepared(case, protocol) for case in cases]
    for number in range(protocol.warmups + protocol.rounds):
        for each in prepared:
            values = each.warmups if number < protocol.warmups else each.values
            values.append(each.value())
    return [each.timing() for each in prepared]


class _Prepared:
    """A case that was set up and called once."""

    def __init__(self, case: Case, protocol: Protocol) -> None:
        self.case = case
        self.values: list[float] = []
        self.warmups: list[float] = []
        self.loops = 1
        self.program, self.first_call, self.compile = _first_call(case)
        self.peak = peak_of(lambda: jax.block_until_ready(self.program()))
        if not case.fresh:
            self._calibrate(protocol.shortest)

    def _calibrate(self, shortest: float) -> None:
        """Double the calls per value until it lasts long enough."""
        while (spent := _duration(self.program, self.loops)) < shortest:
            # A few first calls are slower than the rest: aim at most 10 times higher.
            self.loops = max(2 * self.loops, int(self.loops * min(10, shortest / max(spent, 1e-9))))

    def value(self) -> float:
        if self.case.fresh:
            return _first_call(self.case)[1]
        return _duration(self.program, self.loops) / self.loops

    def timing(self) -> Timing:
        return Timing(
            name=self.case.name,
            values=self.values,
            warmups=self.warmups,
            loops=self.loops,
            first_call=self.first_call,
            compile=self.compile,
            peak=self.peak,
            device_peak=device_peak(),
            largest_resident=largest_resident(),
            observed=dict(self.case.observe()) if self.case.observe else {},
        )


def _duration(program: Program, loops: int) -> float:
    """Time of some calls, each waited for, s."""
    start = time.perf_counter()
    for _ in range(loops):
        jax.block_until_ready(program())
    return time.perf_counter() - start


def _first_call(case: Case) -> tuple[Program, float, float]:
    """A program set up anew, the time of its first call, and of that the part of XLA, s."""
    program = case.setup()
    # Code compiled by an earlier case would make this one look faster.
    jax.clear_caches()
    _Compilations.spent = 0.0
    spent = _duration(program, 1)
    return program, spent, _Compilations.spent


class _Compilations:
    """Sums the compile times that JAX reports."""

    spent = 0.0

    @classmethod
    def listen(cls, event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            cls.spent += duration_secs


jax.monitoring.register_event_duration_secs_listener(_Compilations.listen)

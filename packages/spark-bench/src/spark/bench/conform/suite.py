"""Conformance: verdicts of implementations by facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from .facts import Fact
from .references import Series


class Implementation(Protocol):
    """An implementation to check."""

    name: str
    title: str
    versions: Mapping[str, str]
    convention: str
    kinds: Sequence[str]

    def compute(
        self, kind: str, inputs: Mapping[str, Series], parameters: Mapping[str, Any]
    ) -> Series:
        """Values after every step, of a second run after one that is thrown away."""
        ...


class Verdict(BaseModel):
    """The verdict on an implementation at a fact.

    Attributes:
        outcome: Whether the fact holds, fails, is not offered, or the implementation is broken.
        error: Largest error, relative to the largest value; None where there is none.
        tolerance: Largest error that holds.
        reason: Why it broke, or None.
    """

    outcome: Literal["holds", "fails", "not offered", "broken"]
    error: float | None = None
    tolerance: float
    reason: str | None = None


class Checked(BaseModel):
    """An implementation, with verdicts by name of the fact."""

    name: str
    title: str
    versions: dict[str, str]
    convention: str
    verdicts: dict[str, Verdict]

    @property
    def failed(self) -> list[str]:
        """Facts that do not hold."""
        return [n for n, v in self.verdicts.items() if v.outcome in ("fails", "broken")]


class Conformance(BaseModel):
    """Verdicts of several implementations, and the environment.

    Attributes:
        environment: Machine, versions, date.
        implementations: In the order in which they were checked.
        missing: Why an implementation could not be checked, by name.
    """

    environment: dict[str, str | int | float]
    implementations: list[Checked]
    missing: dict[str, str] = {}

    def write(self, path: Path) -> None:
        """Write it as JSON, in one go: the file is complete at any moment."""
        part = path.with_name(path.name + ".part")
        part.write_text(self.model_dump_json(indent=2) + "\n")
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Conformance:
        """Read it back.

        Raises:
            ValueError: If the file is missing, or holds something else.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error}") from None


def check(
    implementation: Implementation,
    facts: Iterable[Fact],
    on_fact: Callable[[str], None] = lambda name: None,
) -> Checked:
    """Check one implementation."""
    verdicts = {}
    for fact in facts:
        on_fact(fact.name)
        verdicts[fact.name] = _verdict(implementation, fact)
    return Checked(
        name=implementation.name,
        title=implementation.title,
        versions=dict(implementation.versions),
        convention=implementation.convention,
        verdicts=verdicts,
    )


def _verdict(implementation: Implementation, fact: Fact) -> Verdict:
    if fact.kind not in implementation.kinds:
        return Verdict(outcome="not offered", tolerance=fact.tolerance)
    try:
        worst = max(fact.errors(implementation.compute))
    except Exception as error:
        offered = "NotImplementedError" not in str(error)
        return Verdict(
            outcome="broken" if offered else "not offered",
            tolerance=fact.tolerance,
            reason=str(error),
        )
    # JSON has no infinity.
    worst = min(worst, 1e300)
    outcome: Literal["holds", "fails"] = "holds" if worst <= fact.tolerance else "fails"
    return Verdict(outcome=outcome, error=worst, tolerance=fact.tolerance)

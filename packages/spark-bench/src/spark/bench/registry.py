"""All cases by name: built-in ones, and those that other packages register by entry point."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

from .case import Case
from .cases import BUILT_IN

ENTRY_POINTS = "spark.bench.cases"
"""Group of entry points; each names a function without arguments that returns cases."""


@functools.cache
def all_cases() -> Mapping[str, Case]:
    """Every case that is installed, by name.

    Raises:
        ValueError: If two cases have one name.
        TypeError: If an entry point returns anything but cases.
    """
    sources = [*BUILT_IN, *[entry.load() for entry in metadata.entry_points(group=ENTRY_POINTS)]]
    found: dict[str, Case] = {}
    for source in sources:
        for case in source():
            if not isinstance(case, Case):
                raise TypeError(
                    f"{source.__module__}.{source.__name__} must return cases, got {case!r}."
                )
            if case.name in found:
                raise ValueError(f"two cases are named {case.name!r}; a name must be unique.")
            found[case.name] = case
    return found


def select(
    suite: str = "quick", patterns: Sequence[str] = (), dtypes: Sequence[str] = ()
) -> list[Case]:
    """The cases of a suite, or those of any suite that match a pattern or a tag.

    Args:
        suite: `"quick"` or `"full"`.
        patterns: Names with `*` and `?`, or tags; see `unmatched`.
        dtypes: Keep only cases with one of these dtypes among their tags, and those with none.

    Raises:
        ValueError: If no pattern matches a case.
    """
    cases = list(all_cases().values())
    if patterns:
        cases = [case for case in cases if any(_matches(case, each) for each in patterns)]
        if not cases:
            wanted = " or ".join(map(repr, patterns))
            raise ValueError(f"no case matches {wanted}; `spark-bench list` shows what there is.")
    elif suite == "quick":
        cases = [case for case in cases if case.quick]
    if dtypes:
        cases = [case for case in cases if _has_dtype(case, dtypes)]
    return cases


def unmatched(patterns: Iterable[str]) -> list[str]:
    """The patterns that match no case."""
    cases = all_cases().values()
    return [each for each in patterns if not any(_matches(case, each) for case in cases)]


def groups(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Cases by group, in the order in which the groups appear."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.group, []).append(case)
    return found


def _matches(case: Case, pattern: str) -> bool:
    return fnmatch.fnmatchcase(case.name, pattern) or pattern in case.tags


def _has_dtype(case: Case, dtypes: Sequence[str]) -> bool:
    own = {"float16", "bfloat16", "float32", "float64"} & set(case.tags)
    return not own or bool(own & set(dtypes))

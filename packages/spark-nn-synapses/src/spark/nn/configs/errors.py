"""`ConfigError`: the field that is wrong, its value, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from spark.core.internal import show as show


class ConfigError(ValueError):
    """A configuration that is refused.

    Attributes:
        title: Name of the configuration.
        problems: One sentence per problem, which names the field.
    """

    def __init__(self, title: str, problems: Iterable[str]) -> None:
        """Join the problems.

        Args:
            title: Name of the configuration.
            problems: One sentence per problem, which names the field.
        """
        self.title, self.problems = title, tuple(problems)
        super().__init__(self.title, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.title}: {self.problems[0]}"
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{self.title}: {len(self.problems)} problems.{listed}"

    @classmethod
    def read(cls, kind: type[Any], error: ValidationError) -> ConfigError:
        """The errors of pydantic in plain words.

        Args:
            kind: Class of the configuration.
            error: The error that pydantic raised.
        """
        problems: list[str] = []
        for each in error.errors(include_url=False):
            path = _path(each["loc"])
            cause = each.get("ctx", {}).get("error")
            if isinstance(cause, ConfigError):
                problems += [_within(path, problem) for problem in cause.problems]
            elif each["type"] == "value_error":
                # Of the fields together, the sentence names those that it is about.
                problems.append(f"{path} {cause}".lstrip())
            elif each["type"] == "extra_forbidden":
                problems.append(unknown(path, "field", list(kind.model_fields), kind.synonyms))
            elif each["type"] == "missing":
                problems.append(f"{path} is missing; it has no default.")
            else:
                what = each["msg"].replace("Input should be", "must be", 1)
                problems.append(f"{path} {what}, got {show(each['input'])}.")
        return cls(kind.__name__, problems)


def unknown(
    name: str, what: str, known: Sequence[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """A sentence on a name that does not exist, with the closest one that does.

    Args:
        name: The name asked for.
        what: Its kind, such as "field".
        known: Names that exist.
        synonyms: Names that exist, by names that others have for them.
    """
    meant = (synonyms or {}).get(name)
    close = [meant] if meant in known else difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {what} {name!r}{hint} Known ones: {', '.join(known) or 'none'}."


def _within(path: str, problem: str) -> str:
    """A problem of a configuration that is the field of another."""
    unknown_field = "unknown field '" if problem.startswith("unknown field '") else ""
    return f"{unknown_field}{path}.{problem.removeprefix(unknown_field)}"


def _path(loc: tuple[int | str, ...]) -> str:
    """`("trainable", 0)` as `trainable[0]`."""
    first, *rest = loc or ("",)
    return str(first) + "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in rest)

"""The fields of a configuration, its own and inherited ones, as its docstring has its own."""

from __future__ import annotations

import inspect
import re
import textwrap

import numpy as np
from pydantic.fields import FieldInfo

from spark.nn.configs import Config

_SECTION = re.compile(r"^Attributes:\n((?: {4}.*\n?|\n(?= {4}))+)", re.MULTILINE)

# An entry that says no more than that the parent has one.
_ELSEWHERE = re.compile(r"As in `\w+`(, like `\w+`( and `\w+`)?)?\.")


def with_fields(text: str, config: type[Config]) -> str:
    """A docstring in which `Attributes` lists all fields of a configuration with their defaults."""
    entries = [
        f"    {name} ({_type(config, name)}): {_meaning(config, name)} {_default(field)}"
        for name, field in config.model_fields.items()
        if name != "kind"  # says in a file which class it is
    ]
    section = "Attributes:\n" + "\n".join(entries) + "\n"
    if _SECTION.search(text):
        return _SECTION.sub(lambda _: section, text)
    return f"{text.rstrip()}\n\n{section}"


def _meaning(config: type[Config], name: str) -> str:
    """What the nearest class says of a field, rather one that says more than where to look."""
    every = []
    for each in config.__mro__:
        section = _SECTION.search(inspect.cleandoc(each.__doc__ or ""))
        found = section and re.search(
            rf"^{name}: (.*?)(?=^\S|\Z)", textwrap.dedent(section[1]), re.MULTILINE | re.DOTALL
        )
        if found:
            every.append(" ".join(found[1].split()))
    if not every:
        raise ValueError(f"{config.__name__}.{name} is not documented")
    return next((each for each in every if not _ELSEWHERE.fullmatch(each)), every[0])


def _type(config: type[Config], name: str) -> str:
    """The type of a field as the source has it."""
    (found, *_) = [a for each in config.__mro__ if (a := inspect.get_annotations(each).get(name))]
    return str(found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*Required.*"
    value = field.get_default(call_default_factory=True)
    shown = np.array2string(value) if isinstance(value, np.ndarray) else repr(value)
    return f"*Default:* `{shown}`."

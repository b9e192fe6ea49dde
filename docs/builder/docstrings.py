"""An extension of griffe: reads the sections of our docstrings that it would take for prose."""

from __future__ import annotations

import importlib
import re
from typing import Any

import griffe
from examples import used_in
from fields import with_fields

from spark.nn.configs import Config

# What a model takes and gives, as names with types.
_PORTS = re.compile(r"^(Init|Input|Output):\n((?: {4}.+\n?)+)", re.MULTILINE)

_SOURCES = re.compile(r"^References:\n((?: {4}.+\n?)+)", re.MULTILINE)


class Sections(griffe.Extension):
    """`Example` is a section of code; `Init`, `Input`, `Output` and `References` are lists.

    A configuration lists all of its fields, with their defaults. Classes and functions link to the
    pages that use them.
    """

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        text = _SOURCES.sub(_as_sources, _PORTS.sub(_as_list, text))
        config = _configuration(obj)
        if config is not None:
            text = with_fields(text, config)
        if obj.is_class or (obj.is_function and obj.parent is obj.module):
            text = f"{text.rstrip()}\n\n{used_in(obj.name)}"
        obj.docstring.value = text


def _configuration(obj: griffe.Object) -> type[Config] | None:
    """The class that an object is, if it is a configuration with fields."""
    if not isinstance(obj, griffe.Class) or obj.is_private or not obj.path.startswith("spark.nn."):
        return None
    found = importlib.import_module(obj.module.path)
    for name in obj.path.removeprefix(f"{obj.module.path}.").split("."):
        found = getattr(found, name, None)
    if isinstance(found, type) and issubclass(found, Config) and found.model_fields:
        return found
    return None


def _as_list(section: re.Match[str]) -> str:
    title, body = section.groups()
    items = [line.strip().partition(": ") for line in body.strip().splitlines()]
    return f"**{title}**\n\n" + "".join(f"- `{name}`: `{kind}`\n" for name, _, kind in items)


def _as_sources(section: re.Match[str]) -> str:
    # A source ends with the full stop that ends its line.
    text = " ".join(line.strip() + "\n" * line.endswith(".") for line in section[1].splitlines())
    return "**References**\n\n" + "".join(f"- {source.strip()}\n" for source in text.splitlines())

"""An extension of griffe: reads the sections of our docstrings that it would take for prose."""

from __future__ import annotations

import re
from typing import Any

import griffe

# What a model takes and gives, as names with types.
_PORTS = re.compile(r"^(Init|Input|Output):\n((?: {4}.+\n?)+)", re.MULTILINE)

_SOURCES = re.compile(r"^References:\n((?: {4}.+\n?)+)", re.MULTILINE)


class Sections(griffe.Extension):
    """`Example` is a section of code; `Init`, `Input`, `Output` and `References` are lists."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        obj.docstring.value = _SOURCES.sub(_as_sources, _PORTS.sub(_as_list, text))


def _as_list(section: re.Match[str]) -> str:
    title, body = section.groups()
    items = [line.strip().partition(": ") for line in body.strip().splitlines()]
    return f"**{title}**\n\n" + "".join(f"- `{name}`: `{kind}`\n" for name, _, kind in items)


def _as_sources(section: re.Match[str]) -> str:
    # A source ends with the full stop that ends its line.
    text = " ".join(line.strip() + "\n" * line.endswith(".") for line in section[1].splitlines())
    return "**References**\n\n" + "".join(f"- {source.strip()}\n" for source in text.splitlines())

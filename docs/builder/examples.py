"""Which pages of the site have an example with a name."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_DOCS = Path(__file__).parents[1]
_SECTIONS = ("tutorial", "how-to", "explanation")
_CODE = re.compile(r"^```python.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def used_in(name: str) -> str:
    """Links to the pages with code in which a name stands, for a page of the reference."""
    links = [f"[{title}](../{page})" for page, (title, words) in _pages().items() if name in words]
    return f"**Used in** {', '.join(links)}." if links else ""


@functools.cache
def _pages() -> dict[str, tuple[str, set[str]]]:
    """Title of each page, and the words of its code."""
    pages = {}
    for section in _SECTIONS:
        for path in sorted(_DOCS.joinpath(section).glob("*.md")):
            text = path.read_text(encoding="utf-8")
            words = set(re.findall(r"\w+", " ".join(_CODE.findall(text))))
            title = text.removeprefix("# ").split("\n", 1)[0].replace("`", "")
            pages[path.relative_to(_DOCS).as_posix()] = title, words
    return pages

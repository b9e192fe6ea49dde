"""Which pages of the site have an example with a name."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_DOCS = Path(__file__).parents[1]
_SECTIONS = ("tutorial", "how-to", "explanation")
_FILE = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)
_CODE = re.compile(r"^```python.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def used_in(name: str) -> str:
    """Links to the pages with code in which a name stands, for a page of the reference."""
    links = [f"[{title}](../{page})" for page, title in pages_with(name).items()]
    return f"**Used in** {', '.join(links)}." if links else ""


def pages_with(name: str) -> dict[str, str]:
    """Titles of the pages with code in which a name stands, by file."""
    return {page: title for page, (title, words) in _pages().items() if name in words}


@functools.cache
def _pages() -> dict[str, tuple[str, set[str]]]:
    """Title of each page, and the words of its code."""
    pages = {}
    for section in _SECTIONS:
        for path in sorted(_DOCS.joinpath(section).glob("*.md")):
            text = path.read_text(encoding="utf-8")
            code = _FILE.sub(lambda file: (_DOCS.parent / file[1]).read_text(), text)
            words = set(re.findall(r"\w+", " ".join(_CODE.findall(code))))
            title = text.removeprefix("# ").split("\n", 1)[0].replace("`", "")
            pages[path.relative_to(_DOCS).as_posix()] = title, words
    return pages

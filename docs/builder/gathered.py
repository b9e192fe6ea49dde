"""A hook of MkDocs: fills pages with what all pages hold.

Where a page has `<div id="all-figures"></div>` come the figures of the site; `all-names` are the
public names.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
from collections.abc import Sequence

from checks import PUBLIC
from examples import pages_with
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

_FIGURE = re.compile(
    r'<figure class="plot".*?>(?P<svg><svg.*?</svg>)(?P<words>.*?)</figure>'
    r'|<img (?=[^>]*alt="(?P<alt>[^"]*)")[^>]*src="(?P<src>[^"]*)"[^>]*>',
    re.DOTALL,
)
_SENTENCE = re.compile(r".+?(?=[.:](\s|$))", re.DOTALL)

_every: list[Page] = []


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Keep the pages in their order."""
    _every[:] = nav.pages


def on_env(env: object, config: MkDocsConfig, files: Files) -> None:
    """Fill pages, now that each has its content."""
    makers = {"all-figures": _figures, "all-names": _names}
    filled = []
    for page in _every:
        for marker, maker in makers.items():
            place = f'<div id="{marker}"></div>'
            if place in page.content:
                made = f'<div class="{marker}" data-search-exclude>{maker(page, _every)}</div>'
                filled.append((page, page.content.replace(place, made)))
    for page, content in filled:
        page.content = content


def _link(url: str, title: str, here: Page) -> str:
    return f'<a href="{get_relative_url(url, here.url)}">{html.escape(title)}</a>'


def _figures(here: Page, pages: Sequence[Page]) -> str:
    """Each figure under a link to its page."""
    cards = []
    for page in pages:
        for found in _FIGURE.finditer(page.content):
            if found["svg"]:
                shown, words = found["svg"], found["words"]
            else:
                source = get_relative_url(f"{page.url}{found['src']}", here.url)
                shown = f'<img class="on-white" alt="{found["alt"]}" src="{source}">'
                words = f"<figcaption>{found['alt']}.</figcaption>"
            link = _link(page.url, page.title, here)
            cards.append(f'<figure class="plot"><p>{link}</p>{shown}{words}</figure>')
    return "".join(cards)


def _names(here: Page, pages: Sequence[Page]) -> str:
    """Each public name, with a link to its reference, what it is, and the pages that use it."""
    reference = {
        anchor: page.url
        for page in pages
        if page.url.startswith("reference/")
        for anchor in re.findall(r'\sid="(spark\.[^"]+)"', page.content)
    }
    entries: dict[str, str] = {}
    for module in PUBLIC:
        public = importlib.import_module(module)
        for name in sorted(public.__all__):
            paths = [f"{each}.{name}" for each in (module, *PUBLIC)]
            path = next((each for each in paths if each in reference), None)
            if path is None or path in entries:  # a name of JAX, or shown where it comes from
                continue
            link = _link(f"{reference[path]}#{path}", name, here)
            entry = f"<dt><code>{link}</code> <small>{module}</small></dt>"
            said = _SENTENCE.match(_doc(getattr(public, name)))
            entry += f"<dd>{_code(said[0]) + '.' if said else ''}"
            used = ", ".join(
                _link(file.replace(".md", "/"), title, here)
                for file, title in pages_with(name).items()
            )
            entries[path] = f"{entry}{f'<br>Used in {used}.' if used else ''}</dd>"
    ordered = sorted(entries, key=lambda path: path.rpartition(".")[2].lower())
    return f"<dl>{''.join(entries[path] for path in ordered)}</dl>"


def _doc(value: object) -> str:
    """What is said of a class or a function; other values have no words of their own."""
    own = inspect.isclass(value) or inspect.isroutine(value)
    return inspect.getdoc(value) or "" if own else ""


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))

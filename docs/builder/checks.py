"""A hook of MkDocs: what a page must have. Under `--strict` each warning stops the build."""

from __future__ import annotations

import importlib
import logging
import re
from html.parser import HTMLParser

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

log = logging.getLogger("mkdocs.hooks.checks")

PUBLIC = (
    "spark.core.tracers",
    "spark.core.checkpoints",
    "spark.nn.components.synapses",
    "spark.nn.payloads",
    "spark.nn.initializers",
    "spark.nn.configs",
    "spark.nn.interchange",
    "spark.bench",
)


class _Elements(HTMLParser):
    """Every opening tag with its attributes, and the text of inline code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.code: set[str] = set()
        self._in_code = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_code = tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code.add(data)


_documented: set[str] = set()


WIDTH = 80
"""Columns of code that a page shows; what is beyond has to be scrolled to."""

TESTED = '--8<-- "docs/examples/'
"""How a file is shown that tests run, rather than the build."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Refuse an example that is not run, and one that is cut off."""
    for language, code in re.findall(r"^```(.*?)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        run = 'exec="on"' in language or code.startswith(TESTED)
        if language.startswith("python") and not run:
            log.warning("%s: an example is not run: %s", page.file.src_uri, code.split("\n")[0])
        if 'html="on"' not in language:
            for line in code.split("\n"):
                if len(line) > WIDTH:
                    log.warning("%s: a line is too long: %s", page.file.src_uri, line)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Refuse a page without a title, an image without words, an index that lacks a page."""
    elements = _Elements(html)
    if [tag for tag, _ in elements.tags].count("h1") != 1:
        log.warning("%s: a page has one title, a heading of level 1", page.file.src_uri)
    for tag, attributes in elements.tags:
        if tag == "img" and not attributes.get("alt"):
            log.warning("%s: %s has no alt text", page.file.src_uri, attributes.get("src"))
        if tag == "svg" and attributes.get("role") == "img" and not attributes.get("aria-label"):
            log.warning("%s: a figure has no aria-label", page.file.src_uri)
    if page.is_index and page.parent:
        links = {attributes.get("href") for _, attributes in elements.tags}
        others = [each for each in page.parent.children if isinstance(each, Page)]
        for other in others:
            if other is not page and get_relative_url(other.url, page.url) not in links:
                log.warning("%s: no link to %s", page.file.src_uri, other.file.src_uri)
    if page.url.startswith("reference/"):
        ids = {attributes.get("id") or "" for _, attributes in elements.tags}
        _documented.update(ids | elements.code)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a public name that is not in the reference."""
    for module in PUBLIC:
        public = importlib.import_module(module)
        for name in public.__all__:
            # What JAX gives is named; what is ours, and exported once more, stands at its origin.
            if name == "__version__":
                continue
            value = getattr(public, name)
            paths = {f"{module}.{name}"} | {f"{other}.{name}" for other in PUBLIC}
            ours = getattr(value, "__module__", "spark").startswith("spark")
            if not (paths & _documented or (not ours and name in _documented)):
                log.warning("%s.%s is public and not in the reference", module, name)
    _documented.clear()

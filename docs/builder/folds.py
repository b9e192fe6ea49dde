"""A hook of MkDocs: folds the code of a figure under it."""

from __future__ import annotations

import logging
import re
import textwrap

from checks import WIDTH
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.folds")

_FIGURE = re.compile(r'^```python [^\n]*html="on".*?\n(.*?)^```\n', re.MULTILINE | re.DOTALL)

_SHOWN = "html = as_html("
"""From here on the code is about the page: what the figure shows, in words."""

_FOLD = """
??? abstract "Code of the figure"

    It continues the code above. `drawing` is the file `docs/builder/drawing.py` of the repository;
    its `axes` is `subplots` of matplotlib in the style of this site. Then save `figure`.

    ```python
{}
    ```
"""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the code that draws a figure after it, without the words for the page."""

    def folded(block: re.Match[str]) -> str:
        code, shown, _ = block[1].partition(_SHOWN)
        if not shown:
            return block[0]
        for line in code.splitlines():
            if len(line) > WIDTH:
                log.warning("%s: a line of a figure is too long: %s", page.file.src_uri, line)
        code = code.replace(", as_html", "").replace("import as_html, ", "import ").strip()
        return block[0] + _FOLD.format(textwrap.indent(code, " " * 4))

    return _FIGURE.sub(folded, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Refuse a figure whose code is not shown."""
    if html.count('<figure class="plot"') != html.count('<details class="abstract">'):
        log.warning("%s: a figure has no line `%s...`", page.file.src_uri, _SHOWN)

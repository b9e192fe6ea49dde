"""A hook of MkDocs: puts KaTeX, as `nox -s docs` installed it, into the site."""

from __future__ import annotations

import os
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

NEEDED = ("katex.min.css", "katex.min.js", "fonts/*.woff2")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add style, script and fonts under assets/katex."""
    folder = Path(os.environ.get("KATEX", "node_modules/katex/dist"))
    if not (folder / "katex.min.js").is_file():
        raise PluginError(f"no KaTeX in {folder}: run `nox -s docs`, or set KATEX to its dist.")
    for pattern in NEEDED:
        for path in folder.glob(pattern):
            name = f"assets/katex/{path.relative_to(folder).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files

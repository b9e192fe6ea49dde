"""Where checkpoints are: a folder of this machine, or a URL that Orbax reaches."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import CheckpointError

# A scheme has two letters at least: one is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//?)")


def as_folder(directory: str | os.PathLike[str]) -> Any:
    """A directory as an absolute path of `etils.epath`, which Orbax works on.

    Raises:
        TypeError: If it is neither a string nor a path.
        CheckpointError: If it is empty, a URL that `etils.epath` does not know, one that lost a
            slash, or a path of Windows on another system.
    """
    from etils import epath

    try:
        text = os.fspath(directory)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"directory must be a string or a path, got {directory!r}.")
    if not text:
        raise CheckpointError("directory must name a folder, got an empty string.")
    url = _URL.match(text)
    if url is None:
        return epath.Path(_absolute(text))
    scheme, slashes = url.groups()
    if slashes != "//":
        raise CheckpointError(
            f"{text}: neither a folder nor a URL, which has two slashes; give a URL as a string, "
            "since pathlib.Path drops one."
        )
    if scheme.lower() == "file":
        return epath.Path(_local(text))
    try:
        return epath.Path(text)
    except KeyError:
        raise CheckpointError(f"{text}: Orbax does not know URLs of {url.group()}") from None


def _absolute(path: str) -> Path:
    absolute = Path(path).expanduser().absolute()
    if os.sep == "/" and "\\" in str(absolute):
        # TensorStore would take each for a slash, and write to two places.
        raise CheckpointError(f"{path}: backslashes separate folders on Windows alone.")
    return absolute


def _local(url: str) -> Path:
    """The path in a `file://` URL."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise CheckpointError(f"{url}: a file URL of this machine is file:///path.")
    return _absolute(url2pathname(parts.path))

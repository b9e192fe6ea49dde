"""Packages that are installed on demand, as extras."""

from __future__ import annotations

import importlib
from typing import Any


def require(package: str, needed_by: str) -> Any:
    """Import a package that has an extra of its name.

    Args:
        package: Name of the package and of the extra.
        needed_by: Which function needs it, for the message.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{needed_by} needs {package}: pip install 'spark-nn-synapses[{package}]'.",
            name=package,
        ) from None

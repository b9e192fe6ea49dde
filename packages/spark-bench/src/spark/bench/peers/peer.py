"""A peer in a process of its own, with its own Python and packages."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..environment import python_path
from ..pipe import Pipe

HERE = Path(__file__).parent
ALWAYS_THERE = ("spark", "spark-scan", "jax-per-synapse", "jax-dense", "numpy")
"""Adapters that need nothing beside the requirements of spark-bench."""


def known() -> list[str]:
    """Names of all adapters: those that are always there first."""
    files = (HERE / "adapters").glob("[a-z]*.py")
    others = sorted({path.stem.replace("_", "-") for path in files} - set(ALWAYS_THERE))
    return [*ALWAYS_THERE, *others]


def adapter_of(name: str) -> Path:
    """The file of an adapter.

    Raises:
        ValueError: If there is no adapter of that name.
    """
    if name not in known():
        raise ValueError(f"there is no adapter for {name!r}; known ones are {', '.join(known())}.")
    return HERE / "adapters" / f"{name.replace('-', '_')}.py"


class PeerProcess:
    """An implementation that runs in another process.

    Attributes:
        name: Name of the adapter.
        title: Name of the library.
        versions: Versions of its distributions.
        convention: How the library departs from the equations, in words.
        kinds: The kinds of work that it has.
    """

    def __init__(self, name: str, adapter: Path, python: str = sys.executable) -> None:
        """Start the process.

        Args:
            name: Name of the peer.
            adapter: File of the adapter.
            python: Interpreter of the environment that the library is installed in.

        Raises:
            ProcessError: If the library cannot be imported.
        """
        self.name = name
        command = [python, "-P", str(HERE / "serve.py"), str(adapter)]
        with contextlib.ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="spark-bench-")
            self._folder = Path(stack.enter_context(folder))
            self._pipe = Pipe(command, _variables(python), self._folder)
            stack.callback(self._pipe.close)
            described = self._pipe.ask("describe")
            self._open = stack.pop_all()
        self.title: str = described["name"]
        self.versions: Mapping[str, str] = described["versions"]
        self.convention: str = described["convention"]
        self.kinds: Sequence[str] = described["kinds"]

    def prepare(
        self, kind: str, inputs: Mapping[str, np.ndarray[Any, Any]], parameters: Mapping[str, Any]
    ) -> float:
        """Set some work up, and do it once; the time of that, s.

        Raises:
            ProcessError: If it fails.
        """
        path = self._folder / "inputs.npz"
        np.savez(path, **dict(inputs))  # type: ignore[arg-type]
        answer = self._pipe.ask("prepare", kind=kind, inputs=str(path), parameters=dict(parameters))
        path.unlink()
        return float(answer["first_call"])

    def run(self, loops: int = 1) -> float:
        """Do the work some times; the time of that, s."""
        return float(self._pipe.ask("run", loops=loops)["seconds"])

    def output(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The result of the work."""
        path = self._folder / "output.npy"
        self._pipe.ask("output", to=str(path))
        found = np.load(path).astype(np.float64)
        path.unlink()
        return found

    def compute(
        self, kind: str, inputs: Mapping[str, np.ndarray[Any, Any]], parameters: Mapping[str, Any]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The result of some work."""
        self.prepare(kind, inputs, parameters)
        return self.output()

    def close(self) -> None:
        """End the process."""
        self._open.close()


def _variables(python: str) -> dict[str, str]:
    """This process's environment; its import path goes to its own Python only."""
    variables = dict(os.environ)
    variables.pop("PYTHONPATH", None)
    if python == sys.executable:
        variables["PYTHONPATH"] = python_path()
    return variables

"""A peer in a process of its own, with its own Python and packages."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..environment import python_path

HERE = Path(__file__).parent
ALWAYS_THERE = ("spark", "spark-scan", "jax-per-synapse", "jax-dense", "numpy")
"""Adapters that need nothing beside what spark-bench needs."""


class PeerError(RuntimeError):
    """A peer is missing or broken; the message says why."""


def known() -> list[str]:
    """Names of all adapters: those that are always there first."""
    files = (HERE / "adapters").glob("[a-z]*.py")
    others = sorted({path.stem.replace("_", "-") for path in files} - set(ALWAYS_THERE))
    return [*ALWAYS_THERE, *others]


def adapter_of(name: str) -> Path:
    """The file of an adapter.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in known():
        raise ValueError(f"there is no adapter for {name!r}; known ones are {', '.join(known())}.")
    return HERE / "adapters" / f"{name.replace('-', '_')}.py"


class PeerProcess:
    """An implementation that runs in another process, ready to take work.

    Attributes:
        name: Name of the adapter.
        title: What the library calls itself.
        versions: Of the distributions that matter.
        convention: What the library does differently from what is asked, in words.
        kinds: Which kinds of work it has.
    """

    def __init__(self, name: str, adapter: Path, python: str = sys.executable) -> None:
        """Start the process.

        Args:
            name: What to call it.
            adapter: File of the adapter.
            python: Interpreter of the environment that the library is installed in.

        Raises:
            PeerError: If the library cannot be imported.
        """
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="spark-bench-")
        self._errors = (Path(self._folder.name) / "stderr").open("w+")
        try:
            self._process = subprocess.Popen(
                [python, "-P", str(HERE / "serve.py"), str(adapter)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=_variables(python),
                cwd=self._folder.name,
            )
        except OSError as error:
            self._errors.close()
            self._folder.cleanup()
            raise PeerError(f"{python} does not start: {error}") from None
        try:
            hello = self._answer()
        except BaseException:
            self.close()
            raise
        self.title: str = hello["name"]
        self.versions: Mapping[str, str] = hello["versions"]
        self.convention: str = hello["convention"]
        self.kinds: Sequence[str] = hello["kinds"]

    def prepare(
        self, kind: str, inputs: Mapping[str, np.ndarray[Any, Any]], parameters: Mapping[str, Any]
    ) -> float:
        """Give it work, and let it do it once; the time of that, s.

        Raises:
            PeerError: If it fails.
        """
        path = Path(self._folder.name) / "inputs.npz"
        np.savez(path, **dict(inputs))  # type: ignore[arg-type]
        answer = self._ask(do="prepare", kind=kind, inputs=str(path), parameters=dict(parameters))
        path.unlink()
        return float(answer["first_call"])

    def run(self, loops: int = 1) -> float:
        """Let it do its work some times; the time of that, s."""
        return float(self._ask(do="run", loops=loops)["seconds"])

    def output(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What its work comes to."""
        path = Path(self._folder.name) / "output.npy"
        self._ask(do="output", to=str(path))
        found = np.load(path).astype(np.float64)
        path.unlink()
        return found

    def compute(
        self, kind: str, inputs: Mapping[str, np.ndarray[Any, Any]], parameters: Mapping[str, Any]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What some work comes to."""
        self.prepare(kind, inputs, parameters)
        return self.output()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # Killed: what is left to be written has nowhere to go.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._errors.close()
        self._folder.cleanup()

    def __enter__(self) -> PeerProcess:
        """The process, which ends with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._last_words()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(" ".join(answer["error"].split()))
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines: Sequence[str] = self._errors.read().strip().splitlines()
        return f"the process died: {lines[-1] if lines else 'no message'}"


def _variables(python: str) -> dict[str, str]:
    """This process's environment; its import path goes to its own Python only."""
    variables = dict(os.environ)
    variables.pop("PYTHONPATH", None)
    if python == sys.executable:
        variables["PYTHONPATH"] = python_path()
    return variables

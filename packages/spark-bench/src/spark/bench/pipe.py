"""Orders to another process and its answers, as lines of JSON: both ends of the pipe.

It needs the standard library alone: the Python of a peer loads it by path.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class ProcessError(RuntimeError):
    """A process did not start, died, or failed at an order; the message gives the reason."""


class Pipe:
    """A process that carries out one order after another; closing the pipe kills it."""

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
    ) -> None:
        """Start the process.

        Args:
            command: Program and arguments.
            variables: Environment variables.
            folder: Working directory; by default that of this process.

        Raises:
            ProcessError: If the program cannot be started.
        """
        # A file, not a pipe, which would fill up while nobody reads it.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until `close`
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=variables,
                cwd=folder,
            )
        except OSError as error:
            self._errors.close()
            raise ProcessError(f"{command[0]} does not start: {error}") from None

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Give an order and wait for the answer.

        Args:
            order: Name of one of the functions given to `serve`.
            arguments: Its arguments.

        Raises:
            ProcessError: If the order fails, or the process dies.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([order, arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:] or ["no message"]
            raise ProcessError(f"the process died: {last[0]}")
        answer: dict[str, Any] = json.loads(line)
        if "failure" in answer:
            raise ProcessError(answer["failure"])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # An order that was not read has nowhere to go.
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()
        self._errors.close()


def serve(functions: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Carry out orders from stdin until it is closed, as it is when the other process is killed.

    Args:
        functions: From arguments to answers, by the name of the order.
    """
    out = os.fdopen(os.dup(1), "w")
    # Whatever is printed, also from C, must not end up among the answers.
    os.dup2(2, 1)
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    while True:
        order, arguments = json.loads(orders.get())
        try:
            answer = functions[order](**arguments)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answer = {"failure": " ".join(f"{type(error).__name__}: {error}".split())}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _listen(orders: queue.SimpleQueue[str]) -> None:
    """Queue orders; after the last, end this process, also in the middle of one."""
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)

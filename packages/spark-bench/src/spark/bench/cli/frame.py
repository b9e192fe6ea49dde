"""What all commands share: the app, its options and exit codes, and how it says what went wrong."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..__about__ import __version__


class ExitCode(enum.IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


class Suite(enum.StrEnum):
    """Which cases, and how often."""

    quick = "quick"
    full = "full"


class Backend(enum.StrEnum):
    """Where to run."""

    cpu = "cpu"
    gpu = "gpu"


app = typer.Typer(
    name="spark-bench",
    help=(
        "How fast and how exact synaptic traces are on this machine, and against other "
        "libraries.\n\nExit codes: 0 done; 1 a comparison or a conformance check failed; "
        "2 wrong usage; 3 some of the work could not be done, the rest was; 130 interrupted, what "
        "was measured is kept."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(width=None if os.isatty(1) else 160)
err = Console(stderr=True)

Patterns = Annotated[
    list[str] | None,
    typer.Option("--case", help="Name with * and ?, or a tag; may be given several times."),
]
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="Keep cases of this dtype; may be given several times."),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Write results there, as pyperf's JSON.", dir_okay=False),
]
Where = Annotated[
    Backend | None,
    typer.Option("--backend", help="Where to run; by default what JAX takes by itself."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep what the file of --json holds; do the rest.")
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peer", help="Adapter to take; may be given several times. Default: all."),
]
Pythons = Annotated[
    list[str] | None,
    typer.Option("--python", help="Python of a peer, as peer=path; may be given several times."),
]


@contextlib.contextmanager
def guarded(json: Path | None = None) -> Iterator[None]:
    """Say what was wrong with what was asked for, or that it was interrupted, and exit.

    Args:
        json: File that what was measured is kept in.
    """
    try:
        yield
    except ValueError as error:
        # Mistakes in what was asked for are `ValueError`s of the package.
        err.print(f"[red]Error:[/red] {error}")
        raise typer.Exit(ExitCode.USAGE) from None
    except KeyboardInterrupt:
        kept = f"; {json} holds what was measured" if json is not None and json.exists() else ""
        err.print(f"[yellow]Interrupted{kept}.[/yellow]")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def require_file(json: Path | None, resume: bool) -> None:
    """Refuse a file that could not be written, or to go on without one.

    Raises:
        ValueError: If so.
    """
    if json is not None and not json.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {json.absolute().parent} for --json.")
    if resume and json is None:
        raise ValueError("--resume needs --json, the file to go on with.")


def progress() -> Progress:
    """A bar on stderr."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=err,
    )


def _version(show: bool) -> None:
    if show:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass

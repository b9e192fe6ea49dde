"""The frame of all commands: the app, its options and exit codes, errors and tables."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..__about__ import __version__

if TYPE_CHECKING:
    from .. import summaries


class ExitCode(enum.IntEnum):
    """Exit codes of the command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130


class Suite(enum.StrEnum):
    """Cases, and how often they are timed."""

    quick = "quick"
    full = "full"


class Backend(enum.StrEnum):
    """Backends of JAX."""

    cpu = "cpu"
    gpu = "gpu"


app = typer.Typer(
    name="spark-bench",
    help=(
        "How fast and how exact synaptic traces are on this machine, and against other "
        "libraries.\n\nExit codes: 0 done; 1 a comparison or a conformance check failed; "
        "2 wrong usage; 3 some of the work failed, the rest is done; 130 interrupted, the "
        "results so far are kept."
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
    typer.Option("--backend", help="Backend of JAX; by default its own choice."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep the results in the file of --json; do the rest.")
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peer", help="Adapter to use; may be given several times. Default: all."),
]
Pythons = Annotated[
    list[str] | None,
    typer.Option("--python", help="Python of a peer, as peer=path; may be given several times."),
]


@contextlib.contextmanager
def guarded(json: Path | None = None) -> Iterator[None]:
    """Report wrong usage or an interrupt, and exit.

    Args:
        json: File that keeps the results.
    """
    before = _written(json)
    try:
        yield
    except ValueError as error:
        # The package raises `ValueError` for wrong usage.
        err.print(f"[red]Error:[/red] {error}")
        raise typer.Exit(ExitCode.USAGE) from None
    except KeyboardInterrupt:
        kept = f"; {json} holds the results so far" if _written(json) != before else ""
        err.print(f"[yellow]Interrupted{kept}.[/yellow]")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _written(json: Path | None) -> int | None:
    """When a file was written, in ns; None if there is none."""
    return None if json is None or not json.exists() else json.stat().st_mtime_ns


def require_file(json: Path | None, resume: bool) -> None:
    """Check the options `--json` and `--resume`.

    Raises:
        ValueError: If the folder of the file is missing, or there is no file to resume.
    """
    if json is not None and not json.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {json.absolute().parent} for --json.")
    if resume and json is None:
        raise ValueError("--resume needs --json, the file to go on with.")


def require_picture(path: Path | None) -> None:
    """Check the option `--figure`.

    Raises:
        ValueError: If its folder is missing, or its name does not end in a format of pictures.
    """
    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} for --figure.")
    if path.suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"--figure must end in .png or .svg, got {path.name}.")


_STYLES = {"good": "green", "bad": "red", "worst": "bold red", "dim": "dim"}


def show(table: summaries.Table) -> None:
    """Print a table, in colours."""
    shown = Table(*table.columns, title=table.title)
    for row in table.rows:
        shown.add_row(*[Text(text, _STYLES.get(mark, "")) for text, mark in row])
    out.print(shown)


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

"""Commands on results: `compare`, `report`; and `environment`, recorded beside them."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from .frame import ExitCode, app, err, guarded, out, show


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results to compare with.")],
    new: Annotated[Path, typer.Argument(help="Results.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            help="Exit with 1 if a case takes more than this many times as long, and the interval "
            "lies above 1."
        ),
    ] = None,
) -> None:
    """Compare two files of results: ratio of medians, with its 95 % confidence interval.

    Example: `spark-bench compare old.json new.json --fail-above 1.2`
    """
    from .. import summaries
    from ..compare import compare as compare_records
    from ..records import read

    with guarded():
        ratios = compare_records(read(new), read(old))
    show(summaries.ratios(ratios, fail_above))
    if fail_above is None:
        return
    above = [name for name, found in ratios.items() if found.exceeds(fail_above)]
    if above:
        err.print(f"[red]{len(above)} of {len(ratios)} cases take more than {fail_above:g}x.[/red]")
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Files of results.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path(
        "report"
    ),
    conformance: Annotated[
        Path | None, typer.Option(help="File of `conform --json` to show beside them.")
    ] = None,
) -> None:
    """Write one self-contained HTML page with plots, and each figure as PNG and SVG.

    Example: `spark-bench report results.json peers.json -o report/`
    """
    from ..conform.suite import Conformance
    from ..records import read
    from ..report import write_report

    with guarded():
        found = {name: record for path in results for name, record in read(path).items()}
        table = None if conformance is None else Conformance.read(conformance)
    for path in write_report(output, found, table):
        out.print(str(path), highlight=False)


@app.command()
def environment(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the environment recorded beside every number: machine, device, versions, revision.

    Example: `spark-bench environment --json`
    """
    from .. import summaries
    from ..environment import environment as here

    found = here()
    if json:
        print(json_module.dumps(found, indent=2))
    else:
        show(summaries.environment([found]))

"""Commands on implementations, ours and those of others: `conform` and `peers`."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .frame import (
    ExitCode,
    Json,
    Peers,
    Pythons,
    Resume,
    Suite,
    app,
    err,
    guarded,
    progress,
    require_file,
    show,
)

if TYPE_CHECKING:
    from ..peers.peer import PeerProcess


@app.command()
def conform(
    peer: Peers = None,
    python: Pythons = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="File of an adapter of your own; may be given several times."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON.")] = None,
    resume: Resume = False,
) -> None:
    """Check implementations against facts that follow from the equations.

    References are in float64, written from the equations. Without `--peer` or `--adapter`, every
    adapter that can be imported is checked. Exits with 1 if Spark, or an adapter of yours, fails.

    Example: `spark-bench conform --adapter mine.py`
    """
    from .. import summaries
    from ..conform.facts import facts
    from ..conform.suite import Conformance, check
    from ..environment import environment as here
    from ..peers.contest import OURS, start

    names = peer or ([] if adapter else None)
    done = []
    with guarded(json), contextlib.ExitStack() as stack, progress() as bar:
        require_file(json, resume)
        if resume and json is not None and json.exists():
            done = Conformance.read(json).implementations
        chosen, open_peer = _peers(names, python, adapter)
        left = [name for name in chosen if name not in {each.name for each in done}]
        found, missing = start(left, open_peer, stack)
        task = bar.add_task("", total=len(found) * len(facts()))

        def advance(implementation: str, fact: str) -> None:
            bar.update(task, description=f"{implementation}: {fact}", advance=1)

        table = Conformance(environment=here(), implementations=done, missing=missing)
        for each in found:
            on_fact = functools.partial(advance, each.name)
            table.implementations.append(check(each, facts(), on_fact))
            if json is not None:
                table.write(json)
    show(summaries.conformance(table.implementations))
    _report_missing(missing)
    own = {OURS, *[path.stem for path in adapter or []]}
    failed = {each.name for each in table.implementations if each.failed}
    if own & (failed | set(missing)):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def peers(
    peer: Peers = None,
    python: Pythons = None,
    suite: Annotated[Suite, typer.Option(help="Work to do.")] = Suite.quick,
    job: Annotated[
        list[str] | None, typer.Option(help="Name of the work with * and ?, of any suite.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each peer.")] = 5,
    json: Json = None,
    resume: Resume = False,
) -> None:
    """Give other libraries the same work: compare outputs first, then times, in turns.

    Each peer runs in a process, with the Python of an environment of its own if `--python` names
    one: `nox -s peers` makes them. A peer that is missing or broken is reported and skipped.

    Example: `spark-bench peers --python brainpy=envs/brainpy/bin/python --json peers.json`
    """
    from .. import summaries
    from ..environment import environment as here
    from ..peers.contest import OURS, contest, start
    from ..peers.jobs import select_jobs
    from ..records import as_record, load, write

    with guarded(json), contextlib.ExitStack() as stack, progress() as bar:
        require_file(json, resume)
        work = select_jobs(suite.value, job or [])
        done = {b.get_name(): b for b in load(json)} if resume and json and json.exists() else {}
        names = [OURS, *[name for name in peer if name != OURS]] if peer else None
        chosen, open_peer = _peers(names, python, None)
        found, missing = start(chosen, open_peer, stack)
        entries = []
        task = bar.add_task("", total=len(work) * len(found))
        for each in work:
            if any(name.startswith(f"peers/{each.name}/") for name in done):
                continue

            def advance(name: str, job: str = each.name) -> None:
                bar.update(task, description=f"{job}: {name}", advance=1)

            entries += contest(each, found, rounds, 0.1, here(), advance)
            fresh = [entry.benchmark for entry in entries if entry.benchmark is not None]
            done |= {benchmark.get_name(): benchmark for benchmark in fresh}
            if json is not None and done:
                write(json, done.values())
    show(summaries.peers(map(as_record, done.values())).without("library"))
    failed = {f"{e.peer} at {e.job}": e.failure for e in entries if e.failure is not None}
    _report_missing(missing | failed)


def _peers(
    names: list[str] | None, python: list[str] | None, adapters: list[Path] | None
) -> tuple[list[str], Callable[[str], PeerProcess]]:
    """Names of the peers to start, and a function that starts one."""
    from ..peers.peer import PeerProcess, adapter_of, known

    pythons: dict[str, str] = {}
    for each in python or []:
        name, equals, path = each.partition("=")
        if not equals:
            raise ValueError(f"--python must be peer=path, got {each!r}.")
        # Absolute: a peer runs in a folder of its own. Not resolved: a link marks an environment.
        pythons[name] = str(Path(shutil.which(path) or path).absolute())
    own = {path.stem: path for path in adapters or []}
    chosen = [*(known() if names is None else names), *own]
    files = {name: own.get(name) or adapter_of(name) for name in [*chosen, *pythons]}

    def open_peer(name: str) -> PeerProcess:
        return PeerProcess(name, files[name].absolute(), pythons.get(name, sys.executable))

    return chosen, open_peer


def _report_missing(missing: Mapping[str, str | None]) -> None:
    for name, why in missing.items():
        err.print(f"skipped {name}: {why}", markup=False, highlight=False)

"""Peers on the same work and inputs: outputs are compared first, then times, in turns."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pyperf

from .. import records
from ..case import Description
from ..conform.references import largest_error
from ..environment import Environment
from ..pipe import ProcessError
from ..timing import Timing
from .jobs import Job
from .peer import PeerProcess

AGREEMENT = 1e-3
"""Largest error, relative to the largest value, of outputs that agree: float32 sums of a few
thousand terms differ by some 1e-5; another convention differs by far more."""

OURS = "spark"


@dataclasses.dataclass
class Entry:
    """A peer at one job.

    Attributes:
        job: Name of the job.
        peer: Name of the adapter.
        error: Largest error of its output, relative to the largest value; None if it failed.
        failure: Why it failed, or None.
        benchmark: Its times, or None.
    """

    job: str
    peer: str
    error: float | None = None
    failure: str | None = None
    benchmark: pyperf.Benchmark | None = None

    @property
    def agrees(self) -> bool:
        """Whether its output is that of the reference."""
        return self.error is not None and self.error <= AGREEMENT


def start(
    names: Sequence[str], open_peer: Callable[[str], PeerProcess], stack: contextlib.ExitStack
) -> tuple[list[PeerProcess], dict[str, str]]:
    """The peers that can be started, and why the others cannot."""
    peers, missing = [], {}
    for name in names:
        try:
            peers.append(stack.enter_context(contextlib.closing(open_peer(name))))
        except ProcessError as error:
            missing[name] = str(error)
    return peers, missing


def contest(
    job: Job,
    peers: Sequence[PeerProcess],
    rounds: int,
    shortest: float,
    environment: Environment,
    on_peer: Callable[[str], None] = lambda name: None,
) -> list[Entry]:
    """Have peers do one job in turns.

    Args:
        job: The work.
        peers: The peers; those without its kind of work are left out.
        rounds: Number of turns of each.
        shortest: Least duration of a turn, s.
        environment: Recorded beside the times.
        on_peer: Called with each name before its work is prepared.
    """
    inputs = job.make(np.random.default_rng(0))
    expected = job.reference(inputs)
    entries: dict[str, Entry] = {}
    ready: list[PeerProcess] = []
    first_calls: dict[str, float] = {}
    loops: dict[str, int] = {}
    for peer in peers:
        if job.kind not in peer.kinds:
            continue
        on_peer(peer.name)
        entry = entries[peer.name] = Entry(job.name, peer.name)
        try:
            first_calls[peer.name] = peer.prepare(job.kind, inputs, job.parameters)
            entry.error = largest_error(peer.output(), expected)
            loops[peer.name] = max(1, int(np.ceil(shortest / max(peer.run(), 1e-9))))
            ready.append(peer)
        except ProcessError as error:
            entry.failure = str(error)

    values: dict[str, list[float]] = {peer.name: [] for peer in ready}
    for _ in range(rounds):
        for peer in list(ready):
            try:
                values[peer.name].append(peer.run(loops[peer.name]) / loops[peer.name])
            except ProcessError as error:
                entries[peer.name].failure = str(error)
                ready.remove(peer)
    for peer in ready:
        entry = entries[peer.name]
        timing = Timing(
            name=f"peers/{job.name}/{peer.name}",
            values=values[peer.name],
            warmups=[],
            loops=loops[peer.name],
            first_call=first_calls[peer.name],
            compile=0.0,
        )
        description = Description(
            timing.name,
            job.counts,
            job.sizes,
            tags=("peers", job.kind, peer.name),
            group=f"peers/{job.name}",
            reference=peer.name == OURS,
        )
        about = environment | _about(peer, entry)
        entry.benchmark = records.as_benchmark(description, [(timing, about)], "peers")
    return list(entries.values())


def _about(peer: PeerProcess, entry: Entry) -> Environment:
    assert entry.error is not None
    about: Environment = {
        "peer": peer.name,
        "peer_title": peer.title,
        "error": min(entry.error, 1e300),
        "agrees": "yes" if entry.agrees else "no",
    }
    return about | {f"{name}_version": version for name, version in peer.versions.items()}

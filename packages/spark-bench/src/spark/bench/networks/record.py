"""A run as a record: statistics per population and costs, for JSON and tables."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..environment import environment
from .beside import Beside
from .catalog import published
from .network import Network
from .simulate import Run
from .statistics import silent_from
from .statistics import statistics as of_populations

Record: TypeAlias = dict[str, Any]
"""What JSON holds of a run."""


def record(network: Network, run: Run | Beside, seed: int, **settings: Any) -> Record:
    """The record of a run.

    Args:
        network: What was run.
        run: What it gave, and what it cost.
        seed: Its seed.
        **settings: What else was asked for.
    """
    known = published(network)
    populations = []
    for name, found in of_populations(run.spikes, network.ranges).items():
        numbers = {key: _number(value) for key, value in dataclasses.asdict(found).items()}
        of = {"name": name, "neurons": len(network.ranges[name])}
        populations.append({**of, **numbers, "published_rate": known.get(name)})
    costs = {
        "build_s": run.build,
        "run_s": run.run,
        "real_time_factor": run.real_time_factor,
        "peak_bytes": run.peak_bytes,
        "spikes": len(run.spikes),
        "silent_from_ms": silent_from(run.spikes),
    }
    if isinstance(run, Run):
        costs |= {
            "compile_s": run.compile,
            "bytes": run.bytes,
            "events": run.events,
            "events_per_s": run.events / run.run,
        }
    else:
        costs["threads"] = run.threads
    return {
        "network": network.name,
        "source": network.source,
        "simulator": run.version if isinstance(run, Beside) else _ours(settings),
        "neurons": network.size,
        "connections": run.connections,
        "seconds": run.spikes.steps * network.dt / 1000,
        "dt_ms": network.dt,
        "seed": seed,
        **settings,
        **costs,
        "populations": populations,
        "environment": environment(),
    }


def write(path: Path, records: list[Record]) -> None:
    """Write records as JSON.

    Args:
        path: File to write.
        records: What to write.
    """
    path.write_text(json.dumps(records, indent=1, allow_nan=False) + "\n")


def by_simulator(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Runs of each simulator, one for each seed.

    Args:
        records: Runs of all.
    """
    found: dict[str, list[Record]] = {}
    for each in records:
        found.setdefault(each["simulator"], []).append(each)
    return found


def mean_rates(records: Sequence[Record]) -> dict[str, float]:
    """Rate of each population, spikes per second, on average over seeds.

    Args:
        records: Runs of one simulator.
    """
    of_seeds = zip(*[each["populations"] for each in records], strict=True)
    return {
        seeds[0]["name"]: statistics.fmean(each["rate"] for each in seeds) for seeds in of_seeds
    }


def _ours(settings: dict[str, Any]) -> str:
    """Our name, and what is not as by default."""
    weights = settings.get("weights", "float32")
    return "spark" if weights == "float32" else f"spark, {weights} weights"


def _number(value: float) -> float | None:
    """Six digits; JSON has no NaN."""
    return None if math.isnan(value) else float(f"{value:.6g}")

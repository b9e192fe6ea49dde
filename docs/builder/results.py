"""Tables and figures of benchmark results, for pages to print."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
from drawing import STYLE
from matplotlib.figure import Figure

from spark.bench import summaries
from spark.bench.choose import points
from spark.bench.conform.suite import Checked, Conformance
from spark.bench.networks.record import Record as NetworkRecord
from spark.bench.networks.record import by_simulator
from spark.bench.networks.tables import median, spread
from spark.bench.records import Record, read
from spark.bench.report.figures import figures
from spark.bench.summaries import Cell, Table

FOLDER = Path("docs/benchmarks")
"""What `spark-bench` wrote with `--json`."""


NETWORKS = ("brunel-SR", "brunel-SI-fast", "brunel-AI", "brunel-SI-slow", "cuba", "coba")
"""Networks that were run beside others."""


def records(name: str) -> dict[str, Record]:
    """Results by name of the case."""
    return read(FOLDER / f"{name}.json")


def conformance(name: str) -> Conformance:
    """Facts by implementation."""
    return Conformance.read(FOLDER / f"{name}.json")


def figure(found: dict[str, Record], name: str) -> tuple[str, Figure]:
    """The caption of one of the figures that `spark-bench report` draws, and the figure."""
    plt.rcParams.update(STYLE)
    return figures(found, columns=2)[name]


def source(found: dict[str, Record]) -> str:
    """Machine, versions and date of some results, in a sentence."""
    about = summaries.values(record.metadata for record in found.values())
    known = {name: ", ".join(each) for name, each in about.items()}
    days = dict.fromkeys(date[:10] for date in about["date"])
    device = "" if known.get("device_platform", "cpu") == "cpu" else f"{known['device']}, "
    return (
        f"{device}{known['cpu_count']} cores of an {known['cpu_model_name']}, "
        f"jax {known['jax_version']}, flax {known['flax_version']}, "
        f"Python {known['python_version']}, {' to '.join(days)}."
    )


def peers(found: dict[str, Record], *kinds: str) -> str:
    """Kinds of work by peers, ms for 1000 steps, ours first; in brackets where outputs differ."""
    table = summaries.peers(found.values())
    jobs: dict[str, dict[str, str]] = {}
    for row in table.rows:
        job, peer, time = (
            row[table.columns.index(name)] for name in ("work", "library", "ms / 1000 steps")
        )
        if job.text.split("/")[0] not in kinds:
            continue
        shown = f"({time.text})" if time.mark else time.text
        jobs.setdefault(job.text, {})[peer.text] = shown
    titles = dict.fromkeys(title for job in jobs.values() for title in job)
    rows = [
        [summaries.Cell(t), *[summaries.Cell(j.get(t, "")) for j in jobs.values()]] for t in titles
    ]
    columns = ("ms per 1000 steps", *[_heading(job) for job in jobs])
    return summaries.Table("Peers", columns, rows).markdown()


def _heading(job: str) -> str:
    """What a job is, in words that break over lines; every one is in float32."""
    return " ".join(part for part in job.split("/") if part not in ("float32", "batch=1"))


def facts(found: Conformance) -> str:
    """Facts by implementation: the largest error, and whether it is small enough; two tables."""
    every = shown(found)
    half = (len(every) + 1) // 2
    parts = (summaries.conformance(part).markdown() for part in (every[:half], every[half:]))
    return "\n\n".join(parts)


def about(found: Conformance) -> str:
    """Versions of each implementation, and where it follows another law."""
    return "\n".join(f"- {line}" for line in summaries.implementations(shown(found)))


def shown(found: Conformance) -> list[Checked]:
    """Implementations that can be asked for more than one fact."""
    return [
        each
        for each in found.implementations
        if sum(verdict.outcome != "not offered" for verdict in each.verdicts.values()) > 1
    ]


def budget(found: dict[str, Record], prefix: str = "budget") -> str:
    """Each program beside the reference of its row; by default what synapses promise to cost."""
    return summaries.programs(found.values(), prefix).markdown()


def scaling(found: dict[str, Record]) -> str:
    """Synapses cut over devices: each case beside one device."""
    return summaries.scaling(found.values()).markdown()


def ratios(found: dict[str, Record]) -> str:
    """How many times as long as the sequential scan the parallel one takes; by class and size."""
    return summaries.ways(points(found.values())).markdown()


def dispatch(found: dict[str, Record]) -> str:
    """How long a call takes that does nothing."""
    return summaries.seconds(found["limits/dispatch"].median)


def networks() -> dict[str, list[NetworkRecord]]:
    """Runs of each network, ours first."""
    return {
        name: json.loads((FOLDER / "networks" / f"{name}.json").read_text()) for name in NETWORKS
    }


def statistics_of_networks(found: dict[str, list[NetworkRecord]]) -> str:
    """A row for each population and simulator."""
    heads = (
        "network",
        "population",
        "simulator",
        "rate",
        "published",
        "CV of intervals",
        "synchrony",
    )
    rows = []
    for network, runs in found.items():
        for place, population in enumerate(runs[0]["populations"]):
            known = population["published_rate"]
            for row, (simulator, seeds) in enumerate(by_simulator(runs).items()):
                here = [each["populations"][place] for each in seeds]
                rate, cv, synchrony = (
                    spread([each[name] for each in here]) for name in ("rate", "cv", "synchrony")
                )
                texts = (
                    network if not row and not place else "",
                    population["name"] if not row else "",
                    simulator,
                    rate,
                    "-" if known is None else f"{known:.2f}",
                    cv,
                    synchrony,
                )
                rows.append([Cell(text) for text in texts])
    return Table("networks", heads, rows).markdown()


def costs_of_networks(found: dict[str, list[NetworkRecord]]) -> str:
    """What a run of each simulator took, and how many times as long as ours; medians over seeds."""
    heads = ("network", "simulator", "threads", "build, s", "run, s", "over ours", "peak, GB")
    rows = []
    for network, runs in found.items():
        simulators = by_simulator(runs)
        ours = median(next(iter(simulators.values())), "run_s")
        for row, (simulator, seeds) in enumerate(simulators.items()):
            peak, took = median(seeds, "peak_bytes"), median(seeds, "run_s")
            texts = (
                network if not row else "",
                simulator,
                str(seeds[0].get("threads", "-")),
                f"{median(seeds, 'build_s'):.1f}",
                f"{took:.2f}",
                f"{took / ours:.1f}",
                "-" if peak is None else f"{peak / 1e9:.2f}",
            )
            rows.append([Cell(text) for text in texts])
    return Table("costs", heads, rows).markdown()


def source_of_networks(found: dict[str, list[NetworkRecord]]) -> str:
    """Machine, versions and date, in a sentence."""
    about = [run["environment"] for runs in found.values() for run in runs]
    days = dict.fromkeys(each["date"][:10] for each in about)
    return (
        f"{about[0]['cpu_count']} cores of an {about[0]['cpu_model_name']}, "
        f"jax {about[0]['jax_version']}, one after the other with nothing else running, "
        f"{' to '.join(days)}."
    )

"""Results as pyperf's JSON: written by pyperf, read by pyperf, and by this package.

A case is a benchmark of the file and a process is a run of it. Everything else goes into metadata:
counts and sizes of the case as `count_*` and `size_*`, extra measurements as `observed_*`, and the
environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyperf

from .case import Counts, Description
from .environment import Environment
from .timing import Timing

COUNT, SIZE, OBSERVED = "count_", "size_", "observed_"
_LEAST_WARMUP = 1e-12

# Metadata that differ from case to case, beside those with a prefix.
_OF_A_CASE = {
    *("name", "unit", "suite", "group", "reference", "tags", "loops", "load_avg_1min"),
    *("first_call_s", "compile_s", "mem_max_rss", "peak_bytes", "device_peak_bytes"),
    *("peer", "peer_title", "error", "agrees"),
}


@dataclasses.dataclass(frozen=True)
class Record:
    """The times of a case.

    Attributes:
        name: Name of the case.
        processes: Values of each process, s per call.
        metadata: Metadata that all processes share.
        first_calls: Time of the first call of each process, s.
        compiles: Part of it that XLA took.
    """

    name: str
    processes: tuple[tuple[float, ...], ...]
    metadata: Mapping[str, Any]
    first_calls: tuple[float, ...] = ()
    compiles: tuple[float, ...] = ()

    @property
    def values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Values of all processes."""
        return np.concatenate([np.asarray(values, np.float64) for values in self.processes])

    @property
    def median(self) -> float:
        """Median time of one call, s."""
        return float(np.median(self.values))

    @property
    def spread(self) -> float:
        """Distance between the quartiles, relative to the median."""
        low, high = np.quantile(self.values, [0.25, 0.75])
        return float((high - low) / self.median)

    @property
    def first_call(self) -> float | None:
        """Median time of the first call, s."""
        return float(np.median(self.first_calls)) if self.first_calls else None

    @property
    def counts(self) -> Counts:
        """Work of one call."""
        fields = [field.name for field in dataclasses.fields(Counts)]
        return Counts(**{name: int(self.metadata.get(COUNT + name, 0)) for name in fields})

    @property
    def sizes(self) -> dict[str, float]:
        """Sizes of the case."""
        return self._starting(SIZE)

    @property
    def observed(self) -> dict[str, float]:
        """Extra measurements."""
        return self._starting(OBSERVED)

    def _starting(self, prefix: str) -> dict[str, float]:
        return {
            name.removeprefix(prefix): value
            for name, value in self.metadata.items()
            if name.startswith(prefix)
        }

    @property
    def group(self) -> str:
        """Cases of one group took turns."""
        return str(self.metadata.get("group", self.name))

    @property
    def is_reference(self) -> bool:
        """Whether others of its group are compared with it."""
        return self.metadata.get("reference") == "yes"

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the case."""
        return tuple(self.metadata.get("tags", ()))


def environment_in(metadata: Mapping[str, Any]) -> Environment:
    """Machine, device, versions and date: the metadata that say nothing of a single case."""
    return {
        name: value
        for name, value in metadata.items()
        if name not in _OF_A_CASE and not name.startswith((COUNT, SIZE, OBSERVED))
    }


def as_benchmark(
    case: Description, processes: Iterable[tuple[Timing, Environment]], suite: str
) -> pyperf.Benchmark:
    """A benchmark for pyperf to write.

    Args:
        case: Description of the case.
        processes: Times and environment of each process.
        suite: Name of the suite.
    """
    runs = [
        pyperf.Run(
            timing.values,
            warmups=[(timing.loops, max(value, _LEAST_WARMUP)) for value in timing.warmups],
            metadata=_metadata(case, timing, suite) | environment,
            collect_metadata=False,
        )
        for timing, environment in processes
    ]
    return pyperf.Benchmark(runs)


def _metadata(case: Description, timing: Timing, suite: str) -> Environment:
    found: dict[str, Any] = {
        "name": case.name,
        "unit": "second",
        "suite": suite,
        "group": case.group or case.name,
        "reference": "yes" if case.reference else "no",
        "tags": list(case.tags),
        "loops": timing.loops,
        "first_call_s": timing.first_call,
        "compile_s": timing.compile,
        "mem_max_rss": timing.largest_resident,
        "peak_bytes": timing.peak,
        "device_peak_bytes": timing.device_peak,
    }
    found |= {COUNT + name: count for name, count in dataclasses.asdict(case.counts).items()}
    found |= {OBSERVED + name: value for name, value in timing.observed.items()}
    found |= {SIZE + name: size for name, size in case.sizes.items()}
    return {name: value for name, value in found.items() if value is not None}


def write(path: Path, benchmarks: Iterable[pyperf.Benchmark]) -> None:
    """Replace a file in one go: it is complete at any moment, also if this process is killed."""
    part = path.with_name(path.name + ".part")
    pyperf.BenchmarkSuite(list(benchmarks)).dump(str(part), replace=True)
    part.replace(path)


def load(path: Path) -> list[pyperf.Benchmark]:
    """The benchmarks of a file.

    Raises:
        ValueError: If pyperf cannot read the file.
    """
    try:
        return list(pyperf.BenchmarkSuite.load(str(path)).get_benchmarks())
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}; `spark-bench run --json` makes one.") from None
    except Exception as error:
        raise ValueError(f"{path} is no JSON that pyperf can read: {error}") from None


def read(path: Path) -> dict[str, Record]:
    """The records of a file, by name.

    Raises:
        ValueError: If pyperf cannot read the file.
    """
    return {record.name: record for record in map(as_record, load(path))}


def as_record(benchmark: pyperf.Benchmark) -> Record:
    """The record of a benchmark, whether or not this package has written it."""
    runs = [run for run in benchmark.get_runs() if run.values]
    each = [run.get_metadata() for run in runs]

    def values(name: str) -> tuple[float, ...]:
        return tuple(metadata[name] for metadata in each if name in metadata)

    return Record(
        name=benchmark.get_name(),
        processes=tuple(tuple(run.values) for run in runs),
        metadata=each[0] | benchmark.get_metadata(),
        first_calls=values("first_call_s"),
        compiles=values("compile_s"),
    )


def with_references(records: Iterable[Record]) -> Iterator[tuple[Record, Record | None]]:
    """Each record with the reference of its group, which may be itself, or None if it has none."""
    records = list(records)
    references = {record.group: record for record in records if record.is_reference}
    for record in records:
        yield record, references.get(record.group)

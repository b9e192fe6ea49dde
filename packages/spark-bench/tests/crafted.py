"""Records and files with known times, for tests that need no clock."""

import numpy as np

from spark.bench import Counts, records
from spark.bench.case import Description
from spark.bench.timing import Timing

ENVIRONMENT = {"device": "a device", "jax_version": "1.0"}


def processes(median, spread=0.05, count=3, rounds=5, seed=0):
    """Times of several processes, each with an offset of its own."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(0, spread, (count, 1))
    times = median * (1 + offsets + rng.normal(0, spread / 5, (count, rounds)))
    return [list(map(float, process)) for process in times]


def benchmark(name, times, counts=None, environment=ENVIRONMENT, **case):
    """A benchmark of pyperf's with these times."""
    timings = [
        (
            Timing(
                name=name,
                values=values,
                warmups=[values[0]],
                loops=3,
                first_call=0.5,
                compile=0.25,
                peak=1024,
            ),
            environment,
        )
        for values in times
    ]
    return records.as_benchmark(Description(name, counts or Counts(), **case), timings, "quick")


def write(path, times_by_name):
    """A file of results."""
    records.write(path, [benchmark(name, times) for name, times in times_by_name.items()])
    return path

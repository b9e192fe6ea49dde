import pytest

from spark.bench import Counts, records
from spark.bench.floors import Limits, limits_in

from .crafted import benchmark

LIMITS = Limits(bandwidths=((1e6, 4e10), (1e9, 1e10)), flops=1e11, dispatch=1e-5)


@pytest.mark.parametrize(
    ("counts", "floor"),
    [
        (Counts(), 1e-5),  # a dispatch
        (Counts(bytes_moved=10**8), 1e-2),  # memory
        (Counts(bytes_moved=10**6, flop=1), 2.5e-5),  # within the cache
        (Counts(bytes_moved=10**8, flop=10**10), 1e-1),  # arithmetic
        (Counts(bytes_moved=10**10), 1.0),  # beyond what was measured
        (Counts(dispatches=100), 1e-3),
    ],
)
def test_floor_is_the_longest_of_memory_arithmetic_and_dispatch(counts, floor):
    assert LIMITS.floor(counts) == pytest.approx(floor)


def test_limits_are_the_best_rates_measured():
    def limit(name, time, counts, **sizes):
        return records.as_record(benchmark(f"limits/{name}", [[time]], counts, sizes=sizes))

    found = limits_in(
        [
            limit("copy/1", 1.0, Counts(bytes_moved=2000), bytes=1000),
            limit("read/1", 0.1, Counts(bytes_moved=1000), bytes=1000),
            limit("gemm/float32", 2.0, Counts(flop=100)),
            limit("gemm/float16", 1.0, Counts(flop=100)),
            limit("dispatch", 0.001, Counts()),
        ]
    )
    assert found == Limits(bandwidths=((1000, 10_000.0),), flops=100.0, dispatch=0.001)


def test_without_limits_there_is_no_floor():
    assert limits_in([records.as_record(benchmark("a", [[1.0]]))]) is None

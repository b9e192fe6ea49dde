import numpy as np
import pytest

from spark.bench.compare import compare, ratio

from .crafted import processes, write


def test_equal_times_have_ratio_1():
    times = processes(1.0)
    found = ratio(times, times)
    assert found.value == 1
    assert found.low <= 1 <= found.high
    assert found.verdict == "same"


@pytest.mark.parametrize(("factor", "verdict"), [(2.0, "slower"), (0.5, "faster")])
def test_a_factor_of_two_is_found(factor, verdict):
    found = ratio(processes(factor, count=8, seed=1), processes(1.0, count=8, seed=2))
    assert found.low < factor < found.high
    assert found.verdict == verdict


def test_interval_holds_the_true_ratio_in_most_runs():
    held = 0
    for seed in range(100):
        new, old = (
            processes(1.3, count=8, seed=2 * seed),
            processes(1.0, count=8, seed=2 * seed + 1),
        )
        # So few resamples hold it as often as the usual ten times more, in 97 of 100.
        found = ratio(new, old, seed, resamples=200)
        held += found.low <= 1.3 <= found.high
    # 95 % asked; a bootstrap of eight processes falls short of it. 80 of 100 is 7 sigma below.
    assert held >= 80


def test_interval_is_as_wide_as_processes_differ_whatever_the_rounds():
    # A thousand values of two processes that differ by 20 % are two pieces of evidence.
    steady = [[1.0] * 500, [1.2] * 500]
    found = ratio(steady, [[1.0] * 500, [1.0] * 500])
    assert (found.low, found.high) == (1.0, 1.2)


def test_median_ignores_an_outlier():
    times = processes(1.0)
    times[0][0] = 100.0
    assert ratio(times, processes(1.0)).value == pytest.approx(1, abs=0.05)


def test_bound_is_exceeded_only_if_the_interval_is_above_1():
    times = processes(1.5, spread=0.01, seed=1)
    assert ratio(times, processes(1.0, spread=0.01)).exceeds(1.2)
    assert not ratio(times, processes(1.0, spread=0.01)).exceeds(1.6)
    noisy = [[0.5, 0.6], [1.3, 1.3], [2.0, 2.1]]
    assert not ratio(noisy, processes(1.0)).exceeds(1.2)


def test_files_are_compared_by_common_names(tmp_path):
    from spark.bench.records import read

    new = read(write(tmp_path / "new.json", {"a": [[2.0, 2.0]], "b": [[1.0, 1.0]]}))
    old = read(write(tmp_path / "old.json", {"a": [[1.0, 1.0]], "c": [[1.0, 1.0]]}))
    assert {name: found.value for name, found in compare(new, old).items()} == {"a": 2.0}


def test_files_without_a_common_case_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no case in common"):
        compare({"a": None}, {"b": None})


def test_same_seed_gives_the_same_interval():
    new, old = processes(1.1, seed=3), processes(1.0)
    assert ratio(new, old, 7) == ratio(new, old, 7)
    assert np.isfinite(ratio(new, old, 7).high)

from importlib import metadata

import pytest

from spark.bench import Case, registry


@pytest.fixture
def installed(monkeypatch):
    """Registers functions as other packages would, by entry point."""

    def install(**functions):
        class Entry:
            def __init__(self, function):
                self.load = lambda: function

        entries = [Entry(function) for function in functions.values()]
        monkeypatch.setattr(metadata, "entry_points", lambda group: entries)
        registry.all_cases.cache_clear()

    yield install
    registry.all_cases.cache_clear()


def test_names_are_unique_and_every_group_has_at_most_one_reference():
    cases = registry.all_cases().values()
    assert len({case.name for case in cases}) == len(cases)
    for members in registry.groups(cases).values():
        assert sum(case.reference for case in members) <= 1


def test_declaring_cases_sets_nothing_up():
    # Whatever is declared counts something or measures the machine.
    for case in registry.all_cases().values():
        counts = case.counts
        assert (
            counts.element_updates
            or counts.synaptic_events
            or "limits" in case.tags
            or "compile" in case.tags
        )


def test_every_class_runs_every_way_in_every_size_and_dtype():
    names = set(registry.all_cases())
    for cls in ("Tracer", "SaturableTracer", "DoubleTracer", "SaturableDoubleTracer", "RUTracer"):
        ways = ["step", "sequential", "parallel", "event"]
        for way in ways[: 3 if cls == "SaturableDoubleTracer" else 4]:
            for dtype in ("float32", "float16", "bfloat16"):
                for size in ("1000x10", "1000x1000", "1000x4000", "50x1000000"):
                    assert f"scan/{cls}/{dtype}/{size}/{way}" in names


def test_cases_are_chosen_by_pattern_tag_and_dtype():
    by_pattern = registry.select(patterns=["call/Tracer/*"])
    assert {case.name.split("/")[2] for case in by_pattern} == {"float16", "float32"}
    assert all("limits" in case.tags for case in registry.select(patterns=["limits"]))
    half = registry.select("full", dtypes=["float16"])
    assert not any("float32" in case.tags for case in half if "limits" not in case.tags)
    quick, full = ({case.name for case in registry.select(suite)} for suite in ("quick", "full"))
    assert quick < full


def test_patterns_without_a_match_are_refused_and_one_of_several_is_told():
    with pytest.raises(ValueError, match="no case matches 'nonsense' or 'more'"):
        registry.select(patterns=["nonsense", "more"])
    patterns = ["nonsense", "limits/dispatch"]
    assert [case.name for case in registry.select(patterns=patterns)] == ["limits/dispatch"]
    assert registry.unmatched(patterns) == ["nonsense"]


def test_another_package_adds_cases_by_entry_point(installed):
    installed(theirs=lambda: [Case("theirs/one", setup=lambda: None)])
    assert "theirs/one" in registry.all_cases()


def test_a_name_that_is_taken_is_refused(installed):
    installed(theirs=lambda: [Case("limits/dispatch", setup=lambda: None)])
    with pytest.raises(ValueError, match="two cases are named 'limits/dispatch'"):
        registry.all_cases()


def test_an_entry_point_that_returns_no_cases_is_refused(installed):
    installed(theirs=lambda: ["a string"])
    with pytest.raises(TypeError, match="must return cases, got 'a string'"):
        registry.all_cases()

"""Factors together: each pair and triple of values works as in NumPy, or is on the page."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .combinations import (
    FACTORS,
    FEATURES,
    REASONS,
    all_that_work,
    is_refused,
    makes_sense,
    parts,
    refusal,
    refused,
    table,
    works,
)
from .covering import all_pairs
from .test_partition import found

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "together.md"

pytestmark = pytest.mark.usefixtures("x64")


def test_the_page_shows_what_is_refused():
    assert len(REASONS) <= 3
    page = PAGE.read_text()
    assert table(refused()) in page
    assert parts() in page


def test_every_choice_of_values_is_in_a_case_or_does_not_work():
    pairs = itertools.combinations(FACTORS, 2)
    for names in (*pairs, *itertools.combinations(FEATURES, 3)):
        meet = {tuple(case[name] for name in names) for case in all_that_work()}
        for values in set(itertools.product(*(FACTORS[name] for name in names))) - meet:
            some = dict(zip(names, values, strict=True))
            others = {name: each for name, each in FACTORS.items() if name not in some}
            rest = itertools.product(*others.values())
            cases = (some | dict(zip(others, each, strict=True)) for each in rest)
            assert not any(map(works, cases)), some


def test_nothing_else_is_refused():
    built = {name: values for name, values in FACTORS.items() if name != "run"}
    for case in all_pairs(built, makes_sense, built):
        assert (refusal(case) is not None) == is_refused(case, refused()), case


def test_what_works_gives_the_currents_of_numpy_on_one_device_and_several():
    program = Path(__file__).with_name("together.py")
    halves = all_that_work()[::2], all_that_work()[1::2]
    with ThreadPoolExecutor(2) as both:
        said = list(both.map(lambda half: found(json.dumps(half), program=program), halves))
    assert said == [f"{len(half)} equal" for half in halves]

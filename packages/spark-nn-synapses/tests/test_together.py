"""Factors together: each pair and triple of values works as in NumPy, or is on the page."""

import functools
from pathlib import Path

import numpy as np
import pytest

from spark.core.tracers.testing import tolerance

from .combinations import (
    FACTORS,
    REASONS,
    TIME,
    currents,
    is_refused,
    make,
    makes_sense,
    refusal,
    refused,
    table,
)
from .comparing import by_steps
from .covering import all_pairs
from .kinds import spikes

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "together.md"

pytestmark = pytest.mark.usefixtures("x64")


found = functools.cache(refused)


def test_the_page_shows_what_is_refused():
    assert len(REASONS) <= 3
    assert table(found()) in PAGE.read_text()


def test_nothing_else_is_refused():
    for case in all_pairs(FACTORS, makes_sense, strength=3):
        assert (refusal(case) is not None) == is_refused(case, found()), case


@pytest.mark.parametrize("way", ["scan", "calls"])
def test_all_pairs_give_the_currents_of_numpy(way):
    close = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float64"))

    def works(case):
        return makes_sense(case) and not is_refused(case, found())

    for case in all_pairs(FACTORS, works):
        module = make(case)
        xs = spikes(4, (TIME, *module.batch, *module.matrix.spikes_shape), 0.4)
        expected = currents(case, module, xs)
        ys = np.asarray(module.scan(xs)) if way == "scan" else by_steps(module, xs)
        np.testing.assert_allclose(ys, expected, **close, err_msg=str(case))

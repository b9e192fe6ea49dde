"""Factors together: each pair and triple of values works as in NumPy, or is on the page."""

import functools
import itertools
from pathlib import Path

import jax.numpy as jnp
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
    parts,
    refusal,
    refused,
    table,
)
from .comparing import by_steps
from .covering import all_pairs
from .kinds import spikes

# Each stage is rounded at each step, by less than a spacing of float16.
HALF = 2 * TIME * float(jnp.finfo("float16").eps)

# Every three values of these are compared with NumPy; of the others, every two.
FEATURES = ["connectivity", "delays", "class", "tau", "async_spikes"]

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "together.md"

pytestmark = pytest.mark.usefixtures("x64")


found = functools.cache(refused)


def test_the_page_shows_what_is_refused():
    assert len(REASONS) <= 3
    page = PAGE.read_text()
    assert table(found()) in page
    assert parts() in page


def works(case):
    return makes_sense(case) and not is_refused(case, found())


@functools.cache
def all_that_work():
    """Cases in which all pairs of values meet that work together, and all triples of features."""
    return all_pairs(FACTORS, works, FEATURES)


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
        assert (refusal(case) is not None) == is_refused(case, found()), case


@pytest.mark.parametrize("part", range(4))
def test_what_works_gives_the_currents_of_numpy(part):
    for case in all_that_work()[part::4]:
        module = make(case)
        xs = spikes(4, (TIME, *module.batch, *module.matrix.spikes_shape), 0.4)
        expected = currents(case, module, xs)
        if case["run"] == "calls":
            ys = by_steps(module, xs)
        elif case["run"] == "scan":
            ys = np.asarray(module.scan(xs))
        else:
            ys, expected = with_lengths(case, module, xs)
        close = {"rtol": tolerance("currents", "float64"), "atol": tolerance("currents", "float64")}
        if case["dtype"] == "float16":
            close = {"rtol": 0, "atol": HALF * max(1, np.abs(expected).max())}
        np.testing.assert_allclose(ys, expected, **close, err_msg=str(case))


def with_lengths(case, module, xs):
    """Currents of entries that end early, and go on afterwards; and the same in NumPy."""
    lengths = np.array([TIME // 2, 3]) if module.batch else np.array(TIME // 2)
    found = [module.scan(xs, lengths=lengths).value, module.scan(xs).value]
    expected = []
    for entry, length in enumerate(lengths.reshape(-1)):
        full = currents(case, module, np.concatenate([xs[:length], xs]))
        silent = np.zeros((TIME - length, *full.shape[1:]))
        full = np.concatenate([full[:length], silent, full[length:]])
        expected.append(full[:, entry] if module.batch else full)
    return np.concatenate(found), np.stack(expected, 1) if module.batch else expected[0]

"""Covering arrays: few cases in which every two values of different factors meet, or three."""

import itertools


def all_pairs(factors, allowed=lambda case: True, triples=()):
    """Cases, each a dictionary, such that every allowed choice of values meets in one of them.

    A choice is of two factors, or of three of those named.

    Greedy, and the same at every call: a case begins with a choice that no case has yet, and takes
    for each other factor the value that adds most new choices, the first of those that add as many.

    Args:
        factors: The values of each factor, by name.
        allowed: Whether a case, which may lack factors, makes sense.
        triples: Names of factors of which each three meet, too.
    """
    left = {}
    pairs = itertools.combinations(factors, 2)
    for names in (*pairs, *itertools.combinations(triples, 3)):
        for values in itertools.product(*(factors[name] for name in names)):
            choice = dict(zip(names, values, strict=True))
            if _completed(choice, factors, allowed, {}) is not None:
                left[tuple(choice.items())] = choice
    cases = []
    while left:
        case = _completed(next(iter(left.values())), factors, allowed, left)
        cases.append(case)
        left = {key: each for key, each in left.items() if not each.items() <= case.items()}
    return cases


def _completed(case, factors, allowed, left):
    """A case with a value for every factor, or None if there is none that is allowed."""
    if not allowed(case):
        return None
    missing = [name for name in factors if name not in case]
    if not missing:
        return {name: case[name] for name in factors}
    name = missing[0]

    def new(value):
        more = {**case, name: value}
        return sum(
            each.items() <= more.items() for each in left.values() if each.get(name) == value
        )

    for value in sorted(factors[name], key=new, reverse=True):
        found = _completed({**case, name: value}, factors, allowed, left)
        if found is not None:
            return found
    return None

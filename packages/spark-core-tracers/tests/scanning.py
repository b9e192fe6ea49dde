"""Scans in every way, and by chunks."""

import jax.numpy as jnp
import pytest

from spark.core.tracers._scan import Plan, run

from .kinds import WAYS_KINDS, parametrized

# Programs are what these tests cost: they share the shapes of state and input, and the dtype of the
# input. Five steps make a tree of two levels, one with a map left over and one without.
SHAPE, STEPS = (3, 2), 5
METHODS = ["sequential", "parallel"]
every_kind = parametrized(WAYS_KINDS)
every_way = pytest.mark.parametrize("method", METHODS)


def chunked(kind, steps, dtype="float64"):
    """The parallel way by so many steps at a time, as a function of coefficients and the rest."""
    recurrence = kind.make(SHAPE, dtype=dtype).recurrence
    plan = Plan(recurrence, jnp.dtype(dtype), parallel=True, size=steps * 6)

    def scan(parameters, state, xs):
        begun, carry = recurrence.begin(parameters, state)
        traces, (ys,) = run(plan, begun.coefficients, carry.traces, state.noise, xs)
        return state._replace(traces=traces), ys

    return scan

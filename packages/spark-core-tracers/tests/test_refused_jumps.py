"""What a jump refuses leaves the state as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import SaturableDoubleTracer, Tracer

from .kinds import every_jumping_kind


def test_traced_times_are_refused():
    with pytest.raises(TypeError, match=r"use the tracer's recurrence.jump"):
        jax.jit(lambda t: Tracer(1, 5.0).jump(t, [0], 5.0))(jnp.ones(1))


BAD = [
    (([3.0, 2.0], [0, 0], 5.0), ValueError, r"times must ascend, got 3.0 before 2.0"),
    (([0.0], [0], 5.0), ValueError, r"times must lie in \(0, duration\] = \(0, 5\], got 0.0"),
    (([6.0], [0], 5.0), ValueError, r"times must lie in .* got 6.0"),
    (([np.nan], [0], 5.0), ValueError, r"times must lie in .* got nan"),
    (([[1.0]], [0], 5.0), ValueError, r"times must have one axis, got shape \(1, 1\)"),
    (([1.0], [2], 5.0), ValueError, r"elements must lie in \[0, 2\), got 2"),
    (([1.0], [-1], 5.0), ValueError, r"elements must lie in \[0, 2\), got -1"),
    (([1.0], [0.5], 5.0), TypeError, r"elements must be integers, got dtype float64"),
    (([1.0], [0, 1], 5.0), ValueError, r"elements must have shape \(1,\)"),
    (([1.0], [0], -5.0), ValueError, r"duration must be finite and > 0, got -5.0"),
    (([np.inf], [0], 5.0), ValueError, r"times must lie in .* got inf"),
    (([1.0], [0], 1e12), ValueError, r"duration must be less than 2\^31 steps"),
    (([1.0], [0], 1e308), ValueError, r"duration must be less than 2\^31 steps"),
    (([1.0], [0], 5.0, [1.0, 2.0]), ValueError, r"x of shape \(2,\) does not broadcast"),
    (([1.0], [0], 5.0, "x"), TypeError, r"x must be boolean, integer or floating"),
]


@pytest.mark.parametrize("tolerance", [-0.01, 0.5, np.nan, "a", None])
def test_a_tolerance_is_a_part_of_a_step(tolerance):
    with pytest.raises((TypeError, ValueError), match=r"tolerance must .*, got"):
        Tracer(1, 5.0).jump([1.0], [0], 5.0, tolerance=tolerance)


@every_jumping_kind
@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_jump_refuses_and_leaves_the_state(kind, arguments, error, message):
    tracer = kind.make(2)
    before = kind.traces(tracer)
    with pytest.raises(error, match=message):
        tracer.jump(*arguments)
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, before[name])
    assert int(tracer.rng.count[...]) == 0


def test_a_saturable_double_tracer_cannot_jump():
    with pytest.raises(TypeError, match="cannot jump from event to event"):
        SaturableDoubleTracer(1, 5.0, 5.0).jump([1.0], [0], 5.0)

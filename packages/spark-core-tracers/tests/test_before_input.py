"""The value just before an input: the closed form in float64, and what a silent step returns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers import DoubleTracer, RUTracer, SaturableTracer

from .kinds import CLASSES, SHAPE, every_class, every_dtype, every_kind, pairs, train


def closed_form(kind, tracer):
    """The left limit, in float64, from traces and parameters as they stand."""
    p = {name: np.float64(value) for name, value in tracer.parameters._asdict().items()}
    y = {name: np.float64(getattr(tracer, name).get_value()) for name in kind.rest}
    euler = kind.arguments.get("integrator") == "euler"

    def decay(tau):
        return 1 - 1 / tau if euler else np.exp(-1 / tau)

    if isinstance(tracer, RUTracer):
        resources = 1 - decay(p["R_tau"]) * (1 - y["trace_R"])
        return decay(p["U_tau"]) * y["trace_U"] * resources
    if not isinstance(tracer, DoubleTracer):
        return p["base"] + decay(p["tau"]) * (y["trace"] - p["base"])
    d1, d2 = decay(p["tau_1"]), decay(p["tau_2"])
    u1, u2 = y["trace_1"] - p["base_1"], y["trace_2"] - p["base_2"]
    driven = d1 * u1 if euler else (d1 - d2) / (1 / p["tau_2"] - 1 / p["tau_1"]) * u1
    value = p["base_2"] + d2 * u2 + p["scale_2"] * driven
    low, high = tracer.recurrence.bounds or (-np.inf, np.inf)
    return np.clip(value, low, high)


@every_kind
def test_the_left_limit_is_the_closed_form(kind):
    tracer = kind.make(SHAPE, dtype="float32")
    for x in train(0, rate=0.4):
        np.testing.assert_allclose(tracer.before_input(), closed_form(kind, tracer), rtol=2e-6)
        tracer(x)


@every_kind
def test_the_left_limit_is_the_closed_form_in_double_precision(kind, x64):
    tracer = kind.make(SHAPE, dtype="float64")
    for name in kind.rest:
        setattr(tracer, name, np.random.default_rng(0).random(SHAPE))
    np.testing.assert_allclose(tracer.before_input(), closed_form(kind, tracer), rtol=1e-7)


@every_kind
@every_dtype
def test_before_input_equals_a_silent_step_and_leaves_the_state(kind, dtype):
    tracer = kind.make(SHAPE, dtype=dtype)
    tracer.scan(train(1, rate=0.4))
    before, count = kind.traces(tracer), int(tracer.rng.count[...])
    found = tracer.before_input()
    assert (found.shape, found.dtype) == (SHAPE, dtype)
    np.testing.assert_array_equal(tracer.before_input(), found)
    for name, trace in kind.traces(tracer).items():
        assert trace.tobytes() == before[name].tobytes()
    assert int(tracer.rng.count[...]) == count
    # A silent step may round to either neighbour: usage, which drives the efficacy, too.
    spacing, silence = 2 * float(jnp.finfo(dtype).eps), np.zeros(SHAPE, np.float32)
    np.testing.assert_allclose(
        np.asarray(found, np.float32), np.asarray(tracer(silence), np.float32), rtol=spacing
    )


@every_kind
def test_before_input_is_rounded_to_nearest(kind):
    tracer = kind.make(SHAPE)
    tracer.scan(train(2, rate=0.4))
    exact = closed_form(kind, tracer)
    error = np.abs(np.float64(tracer.before_input()) - exact)
    assert (error <= 0.5001 * np.spacing(np.float16(exact)).astype(np.float64) + 1e-6).all()


def test_before_input_of_a_saturated_trace_is_not_the_value_minus_the_input():
    tracer = SaturableTracer(1, tau=20.0, dtype="float32")
    tracer(1.0)
    assert float(tracer.before_input()[0]) == pytest.approx(np.exp(-1 / 20))
    assert float(tracer(1.0)[0]) - 1.0 == 0.0


@every_class
def test_before_input_can_be_compiled_and_differentiated(kind):
    tracer = kind.make(SHAPE, dtype="float32")
    tracer.scan(train(3, rate=0.4))
    expected = np.asarray(tracer.before_input())
    found = nnx.jit(lambda tracer: tracer.before_input())(tracer)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    recurrence, state = tracer.recurrence, tracer.state
    gradient = jax.jit(jax.grad(lambda p: recurrence.before_input(p, state).sum()))(
        tracer.parameters
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert float(jnp.abs(gradient[0]).sum()) > 0


@pairs(
    *[(kind.name, ()) for kind in CLASSES],
    ("tracer", (0,)),
    ("double", (3, 0)),
    ("resource-usage", (0,)),
)
def test_empty_and_scalar_shapes(kind, option):
    assert kind.make(option).before_input().shape == option


def test_before_input_is_limited_to_the_range_of_the_dtype():
    tracer = DoubleTracer(1, 1000.0, 1000.0, scale_2=1.0)
    tracer.trace_1, tracer.trace_2 = 60000.0, 60000.0
    assert float(tracer.before_input()[0]) == 65504

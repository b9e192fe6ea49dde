"""Double exponential traces against SciPy's filters, the closed forms, and float64 loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import DoubleTracer, SaturableDoubleTracer
from spark.core.tracers.testing import tolerance

TAU_1 = np.array([2.0, 5.0, 10.0, 40.0])
TAU_2 = np.array([2.0, 20.0, 10.001, 3.0])


def coupling(tau_1, tau_2, dt):
    """The integral by Gauss-Legendre quadrature: no cancellation at equal time constants."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    s = dt * (nodes[:, None] + 1) / 2
    return (weights[:, None] * dt / 2 * np.exp(-s / tau_1 - (dt - s) / tau_2)).sum(axis=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("integrator", ["exact", "euler"])
@pytest.mark.parametrize("dt", [1, 0.5])
def test_double_tracer_is_a_cascade_of_linear_filters(x64, dtype, integrator, dt):
    rng = np.random.default_rng(0)
    s1, s2, b1, b2 = rng.normal(size=(4, 4)).astype(dtype).astype(float)
    tau_1, tau_2 = TAU_1.astype(dtype).astype(float), TAU_2.astype(dtype).astype(float)
    xs = rng.normal(size=(300, 4)).astype(dtype)
    close = 3 * tolerance("solution", dtype)  # two stages in a row, and their coupling
    tracer = DoubleTracer(
        4, tau_1, tau_2, s1, s2, b1, b2, dtype=dtype, dt=dt, integrator=integrator
    )
    ys = np.asarray(tracer.scan(xs))
    for i in range(4):
        if integrator == "exact":
            d1, d2 = np.exp(-dt / tau_1[i]), np.exp(-dt / tau_2[i])
            delay, gain = 1, s2[i] * coupling(tau_1[i], tau_2[i], dt)[0]
        else:
            d1, d2 = 1 - dt / tau_1[i], 1 - dt / tau_2[i]
            delay, gain = 0, s2[i]
        u1 = lfilter([s1[i]], [1, -d1], xs[:, i].astype(float))
        u2 = lfilter([0] * delay + [gain], [1, -d2], u1)
        size = max(np.abs(u1).max(), np.abs(u2).max(), 1)
        assert np.all(np.abs(ys[:, i] - b2[i] - u2) <= close * size)
        assert abs(np.asarray(tracer.trace_1[...])[i] - b1[i] - u1[-1]) <= close * size
        assert np.asarray(tracer.decay_1)[i] == pytest.approx(d1, rel=close)
        assert np.asarray(tracer.decay_2)[i] == pytest.approx(d2, rel=close)


@pytest.mark.parametrize("dt", [2.0, 1.0, 0.25])
def test_an_impulse_gives_the_dual_exponential_and_the_alpha_function(x64, dt):
    tracer = DoubleTracer(4, TAU_1, TAU_2, 1.5, 0.4, dtype=jnp.float64, dt=dt)
    steps = int(40 / dt) + 1
    ys = np.asarray(tracer.scan(np.eye(steps, 1)))
    t = np.arange(steps)[:, None] * dt
    with np.errstate(invalid="ignore"):
        dual = (np.exp(-t / TAU_1) - np.exp(-t / TAU_2)) / (1 / TAU_2 - 1 / TAU_1)
    dual[:, 0] = t[:, 0] * np.exp(-t[:, 0] / 2.0)
    # The closed form itself cancels where the time constants differ by 1e-4.
    np.testing.assert_allclose(ys, 1.5 * 0.4 * dual, rtol=1e-10, atol=1e-15)


def test_euler_and_exact_meet_as_dt_shrinks():
    t = 10.0
    gaps = []
    for dt in (0.1, 0.01):
        xs = np.eye(int(t / dt) + 1, 1)
        exact = DoubleTracer(1, 4.0, 9.0, dtype=jnp.float32, dt=dt).scan(xs)[-1, 0]
        euler = DoubleTracer(
            1, 4.0, 9.0, scale_2=dt, dtype=jnp.float32, dt=dt, integrator="euler"
        ).scan(xs)[-1, 0]
        gaps.append(abs(float(exact) - float(euler)))
    assert gaps[1] < gaps[0] / 5  # a method of first order


@pytest.mark.parametrize("integrator", ["exact", "euler"])
def test_saturable_double_tracer_against_a_loop(x64, integrator):
    xs = np.random.default_rng(2).normal(0, 0.5, size=(400, 4))
    s1, s2, b1, b2 = 0.7, 0.6, 0.4, 0.3
    tracer = SaturableDoubleTracer(
        4,
        TAU_1,
        TAU_2,
        s1,
        s2,
        b1,
        b2,
        integrator=integrator,
        minimum=0.1,
        maximum=0.6,
        dtype="float64",
    )
    ys = np.asarray(tracer.scan(xs))
    if integrator == "exact":
        d1, d2 = np.exp(-1 / TAU_1), np.exp(-1 / TAU_2)
        gain = s2 * coupling(TAU_1, TAU_2, 1.0)
    else:
        d1, d2, gain = 1 - 1 / TAU_1, 1 - 1 / TAU_2, s2
    y1, y2 = np.full(4, b1), np.full(4, b2)
    for x, found in zip(xs, ys, strict=True):
        before = y1
        y1 = np.clip(b1 + d1 * (y1 - b1) + s1 * x, 0.1, 0.6)
        drive = (before if integrator == "exact" else y1) - b1
        y2 = np.clip(b2 + d2 * (y2 - b2) + gain * drive, 0.1, 0.6)
        np.testing.assert_allclose(found, y2, rtol=0, atol=1e-13)  # float64 rounding
    assert {0.1, 0.6} <= set(ys.ravel())


@pytest.mark.parametrize("way", ["call", "parallel", "jump"])
def test_each_stage_is_rounded_with_bits_of_its_own(way):
    # Two stages that decay alike, and do not drive each other, differ by their rounding alone.
    tracer = DoubleTracer(100, tau_1=50.0, tau_2=50.0, scale_2=0.0, dtype="float16")
    tracer.trace_1 = tracer.trace_2 = np.full(100, 0.7)
    if way == "call":
        tracer(0.0)
    elif way == "parallel":
        tracer.scan(np.zeros((1, 100)), method="parallel")
    else:
        tracer.jump([], np.zeros(0, int), 1.0)
    first, second = np.asarray(tracer.trace_1[...]), np.asarray(tracer.trace_2[...])
    assert len(np.unique(first)) == len(np.unique(second)) == 2
    # Each is rounded up with a probability of 0.6, so that some 52 of 100 pairs agree.
    assert 20 < np.sum(first == second) < 80

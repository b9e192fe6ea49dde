"""Single exponential traces against SciPy's filter, the closed form, and float64 loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import SaturableTracer, Tracer
from spark.core.tracers.testing import tolerance


def random_parameters(seed, n):
    rng = np.random.default_rng(seed)
    tau = np.exp(rng.uniform(np.log(1.5), np.log(50), n))
    return tau, rng.normal(0, 2, n), rng.normal(0, 1, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("integrator", ["exact", "euler"])
@pytest.mark.parametrize("dt", [1, 0.25])
def test_tracer_is_the_linear_filter(x64, dtype, integrator, dt):
    tau, scale, base = random_parameters(0, 8)
    tau, scale, base = (p.astype(dtype).astype(np.float64) for p in (tau, scale, base))
    xs = np.random.default_rng(1).normal(size=(300, 8)).astype(dtype)
    tracer = Tracer(8, tau, scale, base, dtype=dtype, dt=dt, integrator=integrator)
    ys = np.asarray(tracer.scan(xs))
    decay = np.exp(-dt / tau) if integrator == "exact" else 1 - dt / tau
    expected = np.stack(
        [base[i] + lfilter([scale[i]], [1, -decay[i]], xs[:, i].astype(float)) for i in range(8)],
        axis=1,
    )
    size = np.abs(expected).max(axis=0)
    assert np.all(np.abs(ys - expected) <= tolerance("solution", dtype) * size)
    np.testing.assert_allclose(np.asarray(tracer.decay), decay, rtol=tolerance("solution", dtype))


@pytest.mark.parametrize("dt", [2.0, 1.0, 0.5, 0.125])
def test_an_impulse_decays_exponentially_at_any_dt(x64, dt):
    tracer = Tracer((1,), 6.0, 1.5, -0.5, dtype=jnp.float64, dt=dt)
    steps = int(24 / dt) + 1
    ys = np.asarray(tracer.scan(np.eye(steps, 1)))[:, 0]
    times = np.arange(steps) * dt
    np.testing.assert_allclose(ys, -0.5 + 1.5 * np.exp(-times / 6), rtol=1e-13)


def test_float32_is_right_up_to_a_time_constant_of_1e5_steps():
    xs = np.random.default_rng(0).random((10_000, 256)) < 0.02
    for tau in (1e3, 1e4, 1e5):
        ys = np.asarray(Tracer((256,), tau, dtype=jnp.float32).scan(xs), np.float64)
        expected = lfilter([1], [1, -np.exp(-1 / tau)], xs.astype(float), axis=0)
        # The law of the specification: the mean within 1e-5.
        assert ys.mean() == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 0.75)])
@pytest.mark.parametrize("integrator", ["exact", "euler"])
def test_saturable_tracer_against_a_loop(x64, integrator, bounds):
    xs = np.random.default_rng(2).normal(0, 0.5, size=(400, 5))
    tau = np.array([2.0, 5.0, 10.0, 20.0, 50.0])
    tracer = SaturableTracer(
        5,
        tau,
        0.7,
        0.25,
        minimum=bounds[0],
        maximum=bounds[1],
        integrator=integrator,
        dtype="float64",
    )
    ys = np.asarray(tracer.scan(xs))
    decay = np.exp(-1 / tau) if integrator == "exact" else 1 - 1 / tau
    y = np.full(5, 0.25)
    for x, found in zip(xs, ys, strict=True):
        y = np.clip(0.25 + decay * (y - 0.25) + 0.7 * x, *bounds)
        np.testing.assert_allclose(found, y, rtol=0, atol=1e-14)  # float64 rounding
    assert {*bounds} <= set(ys.ravel())  # both bounds were met


def test_saturable_tracer_is_the_nearest_spike_trace():
    train = np.random.default_rng(3).random(500) < 0.1
    ys = np.asarray(SaturableTracer(1, 20.0, dtype=jnp.float32).scan(train[:, None]))[:, 0]
    last = np.maximum.accumulate(np.where(train, np.arange(500), -(10**9)))
    expected = np.exp(-(np.arange(500) - last) / 20.0)
    np.testing.assert_allclose(ys, expected, rtol=1e-5, atol=1e-12)  # 100 float32 steps


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_bounds_hold_in_every_dtype(dtype):
    tracer = SaturableTracer(500, 300.0, 0.1, 0.3, minimum=0.1, maximum=0.7, dtype=dtype)
    low, high = np.array([0.1, 0.7]).astype(jnp.dtype(dtype))
    ys = np.asarray(tracer.scan(np.random.default_rng(0).normal(size=(200, 500))))
    assert ys.min() == low
    assert ys.max() == high

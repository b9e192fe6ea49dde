"""The half-precision law: the mean of a trace is right at every time constant.

What is tested is the rounding of the trace at each step, so that scans are sequential where nothing
else is said, on a GPU too.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import DoubleTracer, RUTracer, SaturableTracer, Tracer
from spark.core.tracers.testing import tolerance

TAUS = np.array([1.0, 10.0, 100.0, 1000.0, 5000.0, 20_000.0])
STEPS, ELEMENTS = 10_000, 512
every_dtype = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])


@pytest.fixture(scope="module")
def train():
    return np.random.default_rng(0).random((STEPS, 1, ELEMENTS)) < 0.02


def exact_means(train):
    """Mean over time and elements for each time constant: a filter is linear in its input."""
    x = train[:, 0].mean(axis=1)
    return [lfilter([1], [1, -np.exp(-1 / tau)], x).mean() for tau in TAUS]


def test_steps_keep_the_law(train):
    # Steps of the other dtypes are those of a scan, bit for bit.
    train = train[:2000]
    tracer = Tracer((len(TAUS), ELEMENTS), TAUS[:, None], dtype="float16")
    total = sum(np.asarray(tracer(x)).mean(axis=1, dtype=np.float64) for x in train)
    expected = exact_means(train)
    np.testing.assert_allclose(total / len(train), expected, rtol=tolerance("mean", "float16"))


@every_dtype
def test_scan_keeps_the_law(dtype, train):
    tracer = Tracer((len(TAUS), ELEMENTS), TAUS[:, None], dtype=dtype)
    total = np.zeros(len(TAUS))
    for part in np.split(train, 10):
        total += (
            np.asarray(tracer.scan(part, "sequential")).mean(axis=2, dtype=np.float64).sum(axis=0)
        )
    np.testing.assert_allclose(total / STEPS, exact_means(train), rtol=tolerance("mean", dtype))


@every_dtype
def test_parallel_scan_keeps_the_law(dtype, train):
    # Of 4096 elements, three chunks of 256 steps on a CPU and one of 768 on a GPU: 8 to 10 levels.
    tracer = Tracer((2, 2048), TAUS[-2:, None], dtype=dtype)
    train = train[: 13 * 768]
    total = sum(
        np.asarray(tracer.scan(part, "parallel")).mean(axis=2, dtype=np.float64).sum(axis=0)
        for part in np.split(np.tile(train, 4), 13)
    )
    # In parallel float32 adds up hundreds of terms in a tree: its rounding, 2^-24 a level.
    expected = exact_means(train)[-2:]
    np.testing.assert_allclose(total / len(train), expected, rtol=tolerance("mean", dtype))


@every_dtype
@pytest.mark.parametrize("tau", [5000.0, 20_000.0])
def test_a_pulse_decays_at_every_time_constant(dtype, tau):
    tracer = Tracer(ELEMENTS, tau, dtype=dtype)
    tracer(True)
    tracer.scan(np.zeros((10_000, 1), bool), "sequential")
    expected = np.exp(-10_000 / tau)
    # Five standard errors of 512 elements; rounding each step to a relative spacing of
    # at most eps adds up to a variance of eps * (log of the decay) at most.
    eps = float(jnp.finfo(dtype).eps) if dtype != "float32" else 0.0
    tolerance = 5 * np.sqrt(eps * (10_000 / tau) / ELEMENTS) + 1e-5
    assert np.asarray(tracer.value, np.float64).mean() == pytest.approx(expected, rel=tolerance)


def test_nearest_is_right_where_it_is_allowed(train):
    tracer = Tracer(ELEMENTS, 100.0, dtype="float16", rounding="nearest")
    found = np.asarray(tracer.scan(train[:, 0], "sequential"), np.float64).mean()
    expected = lfilter([1], [1, -np.exp(-1 / 100)], train[:, 0].astype(float), axis=0).mean()
    # Rounding to nearest is biased towards what is stored: 0.5 spacings per 100 steps' decay.
    assert found == pytest.approx(expected, rel=0.02)
    assert found != pytest.approx(expected, rel=1e-6)


@every_dtype
def test_double_tracer_keeps_the_law(dtype, train):
    tracer = DoubleTracer(ELEMENTS, 5.0, 2000.0, scale_2=0.01, dtype=dtype)
    found = sum(
        np.asarray(tracer.scan(part[:, 0], "sequential"), np.float64).mean(axis=1).sum()
        for part in np.split(train, 10)
    )
    d1, d2 = np.exp(-1 / 5), np.exp(-1 / 2000)
    gain = 0.01 * (d1 - d2) / (1 / 2000 - 1 / 5)
    u1 = lfilter([1], [1, -d1], train[:, 0].astype(float), axis=0)
    expected = lfilter([0, gain], [1, -d2], u1, axis=0).mean()
    assert found / STEPS == pytest.approx(expected, rel=tolerance("mean", dtype))


@every_dtype
def test_saturable_tracer_keeps_the_law(dtype, train):
    tracer = SaturableTracer(ELEMENTS, 5000.0, scale=0.05, dtype=dtype)
    found = np.asarray(tracer.scan(train[:, 0], "sequential"), np.float64).mean()
    y, total, decay = np.zeros(ELEMENTS), 0.0, np.exp(-1 / 5000)
    for x in train[:, 0]:
        y = np.clip(decay * y + 0.05 * x, 0, 1)
        total += y.mean()
    assert found == pytest.approx(total / STEPS, rel=tolerance("mean", dtype))


@every_dtype
def test_resource_usage_keeps_the_law(dtype, train):
    tracer = RUTracer(ELEMENTS, 5000.0, 1000.0, 0.05, dtype=dtype)
    found = np.asarray(tracer.scan(train[:, 0], "sequential"), np.float64).mean()
    u, r, total = np.zeros(ELEMENTS), np.ones(ELEMENTS), 0.0
    for x in train[:, 0]:
        u *= np.exp(-1 / 1000)
        r = 1 - (1 - r) * np.exp(-1 / 5000)
        u += 0.05 * (1 - u) * x
        total += (u * r).mean()
        r -= u * r * x
    # The product of two traces: in float32 each is within the law.
    assert found == pytest.approx(total / STEPS, rel=max(tolerance("mean", dtype), 2e-5))


def test_noise_of_one_element_is_as_documented():
    # float16, tau = 5000 dt: about 1 %.
    tracer = Tracer(2000, 5000.0, dtype="float16")
    train = np.random.default_rng(1).random((10_000, 1)) < 0.02
    for part in np.split(train, 10):
        tracer.scan(part, "sequential")
    values = np.asarray(tracer.value, np.float64)
    assert 0.002 < values.std() / values.mean() < 0.015

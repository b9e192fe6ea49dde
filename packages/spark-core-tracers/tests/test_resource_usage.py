"""Short-term plasticity against the papers' equations, steady states and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import RUTracer

# Markram, Wang and Tsodyks (1998), PNAS 95:5323, as used in Maass, Natschlaeger and Markram (2002),
# Neural Computation 14:2531: use, recovery and facilitation time constants in ms.
PUBLISHED = {
    "depressing": (0.5, 1100.0, 50.0),
    "facilitating": (0.05, 125.0, 1200.0),
    "inhibitory to excitatory": (0.25, 700.0, 20.0),
    "inhibitory to inhibitory": (0.32, 144.0, 60.0),
}
every_synapse = pytest.mark.parametrize("synapse", PUBLISHED)


def efficacies(times, use, recovery, facilitation):
    """Efficacy of each spike: Tsodyks, Pawelzik and Markram (1998), eqs. 2.1 to 2.5, in float64."""
    u, r, last, found = 0.0, 1.0, None, []
    for t in times:
        if last is not None:
            u *= np.exp(-(t - last) / facilitation)
            r = 1 - (1 - r) * np.exp(-(t - last) / recovery)
        u += use * (1 - u)
        found.append(u * r)
        r -= u * r
        last = t
    return np.array(found)


def run(train, synapse, dt=1.0, dtype="float64"):
    use, recovery, facilitation = PUBLISHED[synapse]
    tracer = RUTracer(1, recovery, facilitation, use, dt=dt, dtype=dtype)
    return np.asarray(tracer.scan(np.asarray(train)[:, None]))[:, 0], tracer


@every_synapse
@pytest.mark.parametrize("dt", [1.0, 0.1])
def test_irregular_train_against_the_equations(x64, synapse, dt):
    train = np.random.default_rng(0).random(4000) < 0.05
    ys, _ = run(train, synapse, dt)
    expected = efficacies(np.flatnonzero(train) * dt, *PUBLISHED[synapse])
    np.testing.assert_allclose(ys[train], expected, rtol=1e-11)  # 4000 float64 steps


@every_synapse
def test_float32_against_the_equations(synapse):
    train = np.random.default_rng(0).random(4000) < 0.05
    ys, _ = run(train, synapse, dtype="float32")
    expected = efficacies(np.flatnonzero(train), *PUBLISHED[synapse])
    np.testing.assert_allclose(ys[train], expected, rtol=2e-4)  # R_tau = 1100 roundings of 6e-8


@every_synapse
def test_first_spike_after_rest_releases_use(synapse):
    ys, _ = run([False] * 50 + [True], synapse, dtype="float32")
    assert ys[-1] == pytest.approx(PUBLISHED[synapse][0], rel=1e-6)


@every_synapse
@pytest.mark.parametrize("interval", [10, 50, 300])
def test_paired_pulse_ratio(x64, synapse, interval):
    use, recovery, facilitation = PUBLISHED[synapse]
    ys, _ = run(np.arange(301) % interval == 0, synapse)
    u = use + use * (1 - use) * np.exp(-interval / facilitation)
    expected = u / use * (1 - use * np.exp(-interval / recovery))
    assert ys[interval] / ys[0] == pytest.approx(expected, rel=1e-12)


@every_synapse
@pytest.mark.parametrize("rate", [5, 20, 50, 100])
def test_steady_efficacy_at_a_rate(x64, synapse, rate):
    use, recovery, facilitation = PUBLISHED[synapse]
    interval = 1000 // rate
    ys, _ = run(np.arange(40_000) % interval == 0, synapse)
    # The fixed point of the map from spike to spike: Tsodyks et al. (1998), section 2.
    u = use / (1 - (1 - use) * np.exp(-interval / facilitation))
    decay = np.exp(-interval / recovery)
    expected = u * (1 - decay) / (1 - (1 - u) * decay)
    last = (40_000 - 1) // interval * interval
    assert ys[last] == pytest.approx(expected, rel=1e-10)


def test_steady_drive_saturates_at_the_recovery_rate(x64):
    # Tsodyks and Markram (1997): at high rates efficacy * rate -> 1 / recovery time.
    ys, _ = run(np.ones(20_000, bool), "depressing", dt=0.1)
    assert ys[-1] / 0.1 * 1100.0 == pytest.approx(1, rel=1e-4)


@every_synapse
def test_recovery_from_depression(x64, synapse):
    recovery = PUBLISHED[synapse][1]
    _, tracer = run(np.ones(10, bool), synapse)
    missing = 1 - float(tracer.trace_R[0])
    tracer.scan(np.zeros((500, 1)))
    assert 1 - float(tracer.trace_R[0]) == pytest.approx(
        missing * np.exp(-500 / recovery), rel=1e-11
    )


def test_halving_dt_changes_nothing(x64):
    train = np.random.default_rng(1).random(500) < 0.1
    coarse, _ = run(train, "facilitating", dt=1.0)
    fine_train = np.zeros(1000, bool)
    fine_train[::2] = train
    fine, _ = run(fine_train, "facilitating", dt=0.5)
    np.testing.assert_allclose(fine[::2][train], coarse[train], rtol=1e-11)


def test_no_facilitation_is_the_limit_of_a_short_usage_time(x64):
    train = np.random.default_rng(2).random(1000) < 0.05
    tracer = RUTracer(1, 800.0, 1e-3, 0.4, dtype="float64")
    ys = np.asarray(tracer.scan(train[:, None]))[:, 0]
    r, expected = 1.0, []
    for spike in train:
        r = 1 - (1 - r) * np.exp(-1 / 800)
        if spike:
            expected.append(0.4 * r)
            r *= 0.6
    np.testing.assert_allclose(ys[train], expected, rtol=1e-11)


def test_silent_elements_return_their_efficacy_too(x64):
    tracer = RUTracer(1, 100.0, 50.0, 0.3, dtype="float64")
    tracer(True)
    usage, resources = float(tracer.trace_U[0]), float(tracer.trace_R[0])
    expected = usage * np.exp(-1 / 50) * (1 - (1 - resources) * np.exp(-1 / 100))
    assert float(tracer(False)[0]) == pytest.approx(expected, rel=1e-13)


def test_value_is_the_product_of_the_state():
    tracer = RUTracer(1, 100.0, 50.0, 0.3, dtype=jnp.float32)
    efficacy = float(tracer(True)[0])
    assert efficacy == pytest.approx(0.3, rel=1e-6)
    assert float(tracer.value[0]) == pytest.approx(0.3 * 0.7, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_usage_and_resources_stay_in_the_unit_interval(dtype, scale):
    tracer = RUTracer(64, 30.0, 20.0, scale, dtype=dtype)
    xs = np.random.default_rng(0).normal(0.5, 1, size=(100, 64))  # clipped to [0, 1]
    for x in xs:
        efficacy = np.asarray(tracer(x), np.float64)
        usage = np.asarray(tracer.trace_U[...], np.float64)
        resources = np.asarray(tracer.trace_R[...], np.float64)
        for values in (efficacy, usage, resources):
            assert np.all((values >= 0) & (values <= 1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_no_rounding_leads_out_of_the_range(dtype):
    # Nothing clips a step: a million of them, many at the ends of the range and next to them.
    rng = np.random.default_rng(0)
    n = 10**6
    ends = np.array([0, 1e-30, 6e-8, 1 - 6e-8, 1 - 2.0**-12, 1])

    def portion():
        return np.where(rng.random(n) < 0.5, rng.choice(ends, n), rng.random(n))

    taus = [jnp.asarray(10 ** rng.uniform(-3, 6, n), jnp.float32) for _ in range(2)]
    recurrence = RUTracer(1, 5.0, 5.0, 0.5).recurrence
    parameters = recurrence.parameters(*taus, jnp.asarray(portion(), jnp.float32))
    state = recurrence.init(parameters, (n,), dtype, jax.random.key(0))
    state = state._replace(traces=tuple(jnp.asarray(portion(), dtype) for _ in range(2)))
    step = jax.jit(recurrence.step)
    for x in (jnp.asarray(portion(), jnp.float32), jnp.asarray(rng.random(n) < 0.5)):
        after, efficacy = step(parameters, state, x)
        for values in (*after.traces, efficacy):
            values = np.asarray(values)
            assert values.min() >= 0
            assert values.max() <= 1

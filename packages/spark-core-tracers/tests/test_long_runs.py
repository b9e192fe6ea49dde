"""A million steps: no drift, and no second compilation."""

import jax
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import Tracer
from spark.core.tracers import base as base_module
from spark.core.tracers.agreement import tolerance


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_million_steps_do_not_drift(dtype):
    tau, chunk, chunks = 5000.0, 50_000, 20
    rng = np.random.default_rng(0)
    tracer = Tracer(256, tau, dtype=dtype)
    exact, state = 0.0, np.zeros(1)
    found = []
    for _ in range(chunks):
        spikes = rng.random((chunk, 256), np.float32) < 0.02
        values = tracer.scan(spikes)
        found.append(np.asarray(values, np.float64).mean())
        # The trace is linear: the mean trace is the trace of the mean input.
        mean, state = lfilter([1], [1, -np.exp(-1 / tau)], spikes.mean(axis=1), zi=state)
        exact = mean.mean()
        if len(found) > 1:  # beyond ten time constants
            assert found[-1] == pytest.approx(exact, rel=tolerance("mean", dtype))
    assert int(tracer.rng.count[...]) == chunk * chunks


def test_one_compilation_per_shape():
    jax.clear_caches()
    for n in (2, 3):
        for seed in range(3):
            tracer = Tracer(n, 5.0 + seed, dtype="float32", seed=seed)
            for _ in range(3):
                tracer(np.ones(n, bool))
    assert base_module._step._cache_size() == 2

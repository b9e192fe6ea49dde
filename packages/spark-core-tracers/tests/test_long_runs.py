"""A million steps: no drift."""

import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import Tracer
from spark.core.tracers.testing import tolerance


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_million_steps_do_not_drift(dtype):
    tau, chunk, chunks = 5000.0, 50_000, 20
    # The same spikes again in each chunk: those of a chunk last for ten time constants.
    spikes = np.random.default_rng(0).random((chunk, 256), np.float32) < 0.02
    mean_spikes = spikes.mean(axis=1)
    tracer = Tracer(256, tau, dtype=dtype)
    exact, state = 0.0, np.zeros(1)
    found = []
    for _ in range(chunks):
        values = tracer.scan(spikes, "sequential")  # rounds the trace at each step
        found.append(np.asarray(values).mean(dtype=np.float64))
        # The trace is linear: the mean trace is the trace of the mean input.
        mean, state = lfilter([1], [1, -np.exp(-1 / tau)], mean_spikes, zi=state)
        exact = mean.mean()
        if len(found) > 1:  # beyond ten time constants
            assert found[-1] == pytest.approx(exact, rel=tolerance("mean", dtype))
    assert int(tracer.rng.count[...]) == chunk * chunks

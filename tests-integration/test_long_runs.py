"""A hundred thousand calls: no growth of memory."""

import gc
import resource
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from spark.core.tracers import Tracer
from spark.nn.components.synapses import TracedSynapses

STATUS = Path("/proc/self/statm")

MODULES = {
    "tracer": lambda: Tracer(100, 5.0),
    "synapses": lambda: TracedSynapses(units=20, tau=5.0, delays=[0.0, 3.0] * 50),
}


def memory():
    """What this process holds now, in bytes."""
    gc.collect()
    return int(STATUS.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not STATUS.exists(), reason="/proc says how much memory a process has")
@pytest.mark.parametrize("make", MODULES.values(), ids=list(MODULES))
def test_memory_does_not_grow_over_calls(make):
    module, x = make(), jnp.ones(100, bool)

    def call(times):
        for _ in range(times):
            module(x)
        return memory(), len(jax.live_arrays())

    before, arrays = call(20_000)
    after, still = call(100_000)
    assert still == arrays
    # 100 bytes a call would be 10 MB.
    assert after - before < 5e6

"""Thousands of calls: no growth of memory."""

import gc
import resource
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from spark.core.tracers import Tracer
from spark.nn.components.synapses import TracedSynapses

STATUS = Path("/proc/self/statm")
CALLS = 5000

MODULES = {
    "tracer": lambda: Tracer(100, 5.0),
    "synapses": lambda: TracedSynapses(units=20, tau=5.0, delays=[0.0, 3.0] * 50),
}


def memory():
    """What this process holds now, in bytes."""
    return int(STATUS.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not STATUS.exists(), reason="/proc says how much memory a process has")
@pytest.mark.parametrize("make", MODULES.values(), ids=list(MODULES))
def test_memory_does_not_grow_over_calls(make):
    module, x = make(), jnp.ones(100, bool)

    def call(times):
        for _ in range(times):
            module(x)
        gc.collect()
        return len(jax.live_arrays()), sys.getallocatedblocks(), memory()

    arrays, blocks, before = call(1000)
    still, more, after = call(CALLS)
    assert still == arrays
    # Far less than one object of Python a call, which takes a block or more,
    assert more - blocks < CALLS / 10
    # and less than a buffer outside of Python: 400 bytes a call would be 2 MB.
    assert after - before < 2e6

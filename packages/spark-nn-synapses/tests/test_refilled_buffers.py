"""A NumPy buffer that is filled anew after a call: the values at the time of the call count."""

import jax.numpy as jnp
import numpy as np
import pytest

from spark.nn.components.synapses import Delays, InputSpec, LinearSynapses, SpikeArray
from spark.nn.payloads import CurrentArray, FloatArray

# So many that JAX has not read them when the call returns: without a copy most calls go wrong.
SIZE, CALLS = 300_000, 20

TO_ONE = LinearSynapses(units=1, kernel_initializer=np.ones((1, SIZE)), dtype="float32")
TO_MANY = LinearSynapses(units=SIZE, kernel_initializer=np.ones((SIZE, 1)), dtype="float32")
TO_MANY.build({"spikes": InputSpec((1,))})
CURRENTS = CurrentArray(jnp.zeros(SIZE))


def set_kernel(frame):
    TO_MANY.kernel = frame[:, None]
    return TO_MANY.kernel


ENTRIES = {
    "spikes": lambda frame: SpikeArray(frame).value,
    "mask": lambda frame: -SpikeArray(jnp.ones(SIZE), frame > 0).value.clip(max=0),
    "floats": lambda frame: FloatArray(frame),
    "currents": lambda frame: CURRENTS + frame,
    "currents from the right": lambda frame: frame + CURRENTS,
    "call": lambda frame: TO_ONE(frame).value / SIZE,
    "scan": lambda frame: TO_ONE.scan(frame[None]).value / SIZE,
    "kernel": set_kernel,
    "delays": lambda frame: Delays(SIZE, 0.0, dtype="float32")(frame).value,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_values_at_the_time_of_the_call_count(entry):
    frame, found = np.zeros(SIZE, np.float32), []
    for k in range(CALLS):
        frame[:] = k % 2
        found.append(ENTRIES[entry](frame[:]))
    for k, each in enumerate(found):
        np.testing.assert_array_equal(np.unique(np.asarray(each)), [k % 2])

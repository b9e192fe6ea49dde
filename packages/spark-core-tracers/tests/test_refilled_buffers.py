"""A NumPy buffer that is filled anew after a call: the values at the time of the call count."""

import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import Exponential, ExponentialParameters, RUTracer, Tracer

# So many that JAX has not read them when the call returns: without a copy most calls go wrong.
SIZE, CALLS = 300_000, 20

LAW = Exponential(1.0)
P = ExponentialParameters(jnp.float32(1e-3))  # what came before has decayed
START = LAW.init(P, (SIZE,))


def tracer():
    return Tracer(SIZE, tau=1e-3, dtype="float32")


def by_mask(frame):
    full = tracer()
    full.trace.set_value(jnp.ones(SIZE))
    full.masked_reset(frame > 0)
    return 1 - full.value


ENTRIES = {
    "call": lambda frame: tracer()(frame),
    "scan": lambda frame: tracer().scan(frame[None])[0],
    "plasticity": lambda frame: RUTracer(SIZE, R_tau=1.0, U_tau=1.0, scale_U=1.0)(frame > 0),
    "parameter": lambda frame: Tracer(SIZE, tau=1.0, base=frame, dtype="float32").value,
    "mask": by_mask,
    "jump": lambda frame: tracer().jump(np.ones(64), np.arange(64), 1.0, frame[:64]),
    "pure step": lambda frame: LAW.step(P, START, frame)[1],
    "pure scan": lambda frame: LAW.scan(P, START, frame[None])[1][0],
    "pure parameter": lambda frame: LAW.step(P._replace(base=frame), START, jnp.float32(0))[1],
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_values_at_the_time_of_the_call_count(entry):
    frame, found = np.zeros(SIZE, np.float32), []
    for k in range(CALLS):
        frame[:] = k % 2
        # As a view, which a test on ownership would let pass.
        found.append(ENTRIES[entry](frame[:]))
    for k, each in enumerate(found):
        np.testing.assert_array_equal(np.unique(np.asarray(each)), [k % 2])

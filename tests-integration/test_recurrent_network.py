"""A recurrent network of leaky integrate-and-fire neurons has the raster of a NumPy simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.nn.components.synapses import InputSpec, LinearSynapses, TracedSynapses

NEURONS, EXTERNAL, STEPS = 60, 40, 1000
TAU_MEMBRANE, TAU_FAST, TAU_SLOW, THRESHOLD = 20.0, 5.0, 10.0, 1.0
LEAK = np.exp(-1 / TAU_MEMBRANE)

_rng = np.random.default_rng(0)
# A fifth of the neurons inhibit, with slower currents and stronger weights.
INHIBITORY = np.arange(NEURONS) >= NEURONS * 4 // 5
RECURRENT = _rng.random((NEURONS, NEURONS)) * 0.01 * np.where(INHIBITORY, -4.0, 1.0)
TAU = np.where(INHIBITORY, TAU_SLOW, TAU_FAST)[None]
INPUT = _rng.random((NEURONS, EXTERNAL)) * 0.3
TRAIN = _rng.random((STEPS, EXTERNAL)) < 0.02


def numpy_raster():
    """Spikes in NumPy, in float64, and how close any potential comes to threshold."""
    v, current = np.zeros(NEURONS), np.zeros((2, NEURONS))
    decays = np.exp(-1 / np.array([[TAU_FAST], [TAU_SLOW]]))
    spikes, raster, margin = np.zeros(NEURONS), [], []
    for x in TRAIN:
        parts = [RECURRENT[:, ~INHIBITORY] @ spikes[~INHIBITORY]]
        parts += [RECURRENT[:, INHIBITORY] @ spikes[INHIBITORY]]
        current = decays * current + np.stack(parts)
        v = LEAK * v * (1 - spikes) + current.sum(axis=0) + INPUT @ x
        spikes = (v >= THRESHOLD).astype(float)
        raster.append(spikes > 0)
        margin.append(np.abs(v - THRESHOLD).min())
    return np.stack(raster), np.array(margin)


def spark_raster(dtype, projection):
    """The same network from synapses, with the soma of a neuron in a line of JAX."""
    recurrent = TracedSynapses(
        units=NEURONS, kernel_initializer=RECURRENT, tau=TAU, dtype=dtype, projection=projection
    )
    recurrent.build({"spikes": InputSpec((NEURONS,))})
    # Excitation and inhibition each share their traces: two per neuron.
    assert recurrent.current_tracer.shape == (2, NEURONS)
    feed = LinearSynapses(
        units=NEURONS, kernel_initializer=INPUT, dtype=dtype, projection=projection
    )
    feed.build({"spikes": InputSpec((EXTERNAL,))})
    graph, state = nnx.split((recurrent, feed))

    def body(carry, x):
        v, spikes, state = carry
        recurrent, feed = nnx.merge(graph, state)
        drive = recurrent(spikes) + feed(x)
        v = jnp.asarray(LEAK, dtype) * jnp.where(spikes, jnp.zeros((), dtype), v) + drive.value
        spikes = v >= THRESHOLD
        return (v, spikes, nnx.state((recurrent, feed))), spikes

    start = (jnp.zeros(NEURONS, dtype), jnp.zeros(NEURONS, bool), state)
    _, raster = jax.jit(lambda start, xs: lax.scan(body, start, xs))(start, jnp.asarray(TRAIN))
    return np.asarray(raster)


@pytest.fixture(scope="module")
def expected():
    return numpy_raster()


def test_the_network_is_neither_silent_nor_saturated(expected):
    raster, _ = expected
    assert 0.005 < raster.mean() < 0.2
    # Inhibition and excitation both take part.
    assert raster[:, INHIBITORY].any()
    assert raster[:, ~INHIBITORY].any()


def test_raster_in_double_precision(expected, x64):
    raster, margin = expected
    # No potential comes closer to threshold than rounding moves it.
    assert margin.min() > 1e-12
    np.testing.assert_array_equal(spark_raster("float64", "events"), raster)


@pytest.mark.parametrize("projection", ["dense", "events"])
def test_raster_in_single_precision(projection, expected):
    raster, margin = expected
    # A step rounds a potential of about 1 some five times, by 2^-24 each, and it remembers the last
    # 1 / (1 - LEAK) = 20 steps: its error stays below 1e-5. As long as no potential comes that
    # close to threshold in float64, every spike is sure; here for all 1000 steps, with 2.6e-5.
    assert margin.min() > 1e-5
    np.testing.assert_array_equal(spark_raster("float32", projection), raster)

"""A traced synapse is a tracer behind linear synapses, for every option, dtype and way to run."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import DoubleTracer, Tracer
from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    TracedSynapses,
)

# Multiples of 1/8, so that the drive is exact in whatever order it is summed.
KERNEL = np.random.default_rng(0).integers(-8, 9, (4, 6)) / 8
XS = np.random.default_rng(1).random((8, 6)) < 0.3
SPEC = {"spikes": InputSpec((6,))}

PAIRS = {
    "traced": (TracedSynapses, Tracer, {"tau": 7.0, "scale": 0.5, "base": 0.25}),
    "double": (
        DoubleTracedSynapses,
        DoubleTracer,
        {
            "tau_1": 3.0,
            "scale_1": 0.5,
            "base_1": 0.125,
            "tau_2": np.array([4.0, 7.0, 8.0, 9.0]),
            "scale_2": 0.25,
            "base_2": 0.25,
        },
    ),
}
every_pair = pytest.mark.parametrize("pair", PAIRS)


def pair_of(pair, **options):
    """A module of synapses, and the tracer that it should be equal to."""
    synapses, tracer, parameters = PAIRS[pair]
    synapses = synapses(units=4, kernel_initializer=KERNEL, **parameters, **options)
    synapses.build(SPEC)
    return synapses, tracer(4, **parameters, **options)


@pytest.fixture(scope="module")
def drive():
    """What the spikes drive, from linear synapses, in float32."""
    linear = LinearSynapses(units=4, kernel_initializer=KERNEL, dtype="float32")
    return np.asarray(linear.scan(XS))


# Each class, dtype, integrator, rounding and way, with each of the others once at least.
@pytest.mark.parametrize(
    ("pair", "dtype", "integrator", "rounding", "way"),
    [
        ("traced", "float16", "exact", "stochastic", "step"),
        ("double", "float16", "euler", "nearest", "sequential"),
        ("double", "float16", "exact", "stochastic", "parallel"),
        ("double", "bfloat16", "euler", "stochastic", "step"),
        ("traced", "bfloat16", "exact", "stochastic", "sequential"),
        ("traced", "bfloat16", "euler", "nearest", "parallel"),
        ("double", "float32", "exact", "nearest", "step"),
        ("traced", "float32", "euler", "stochastic", "sequential"),
        ("traced", "float32", "exact", "stochastic", "parallel"),
    ],
)
def test_every_option_and_dtype_and_way(pair, dtype, integrator, rounding, way, drive):
    options = {"dtype": dtype, "integrator": integrator, "rounding": rounding, "seed": 3, "dt": 0.5}
    synapses, tracer = pair_of(pair, **options)
    # Both run the same recurrence, in two programs.
    close = tolerance("steps", dtype)
    if way == "step":
        found = np.stack([np.asarray(synapses(x)) for x in XS])
        expected = np.stack([np.asarray(tracer(x)) for x in drive])
    else:
        found = np.asarray(synapses.scan(XS, way))
        expected = np.asarray(tracer.scan(drive, way))
    assert found.dtype == expected.dtype == dtype
    if dtype != "float32" and way != "parallel":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(
            found.astype(float), expected.astype(float), rtol=close, atol=close
        )
    for name in tracer.recurrence.traces:
        trace = getattr(synapses.current_tracer, name)[...]
        expected = np.asarray(getattr(tracer, name)[...]).astype(float)
        np.testing.assert_allclose(
            np.asarray(trace).astype(float), expected, rtol=close, atol=close
        )
    assert int(synapses.current_tracer.rng.count[...]) == int(tracer.rng.count[...])


@every_pair
def test_trainable_parameters_and_reset_are_those_of_the_tracer(pair, drive):
    names, close = tuple(PAIRS[pair][2]), tolerance("steps", "float32")
    synapses, tracer = pair_of(pair, dtype="float32", trainable=names)
    np.testing.assert_allclose(synapses.scan(XS), tracer.scan(drive), rtol=close, atol=close)
    for name in names:
        inside, alone = getattr(synapses.current_tracer, name), getattr(tracer, name)
        assert type(inside) is type(alone)
        np.testing.assert_array_equal(inside[...], alone[...])
    synapses.reset()
    tracer.reset()
    np.testing.assert_array_equal(synapses.current_tracer.value, tracer.value)


# The law of half precision, end to end: the current averaged over time and 256 targets, with time
# constants up to 20 000 steps.
TAUS = np.array([10.0, 1000.0, 20_000.0])
STEPS, TARGETS, INPUTS = 10_000, 256, 64


@pytest.fixture(scope="module")
def recording():
    """Spikes, weights, and the mean current of each time constant in float64."""
    rng = np.random.default_rng(2)
    xs = rng.random((STEPS, INPUTS)) < 0.02
    # No weight is so small that a current of it alone would count as 0 in float16.
    kernel = np.float32((1 + rng.random((TARGETS, INPUTS))) / 32)
    return xs, kernel


def mean_current(kernel, xs, tau):
    drive = kernel.mean(axis=0, dtype=np.float64) @ xs.T
    return lfilter([1], [1, -np.exp(-1 / tau)], drive).mean()


@pytest.mark.parametrize(
    ("dtype", "several"),
    [("float16", True), ("bfloat16", False)],
    ids=["float16, two traces", "bfloat16, one trace"],
)
def test_half_precision_keeps_the_law(dtype, several, recording):
    xs, kernel = recording
    units = (len(TAUS), TARGETS)
    taus = np.broadcast_to(TAUS[:, None], units)
    if several:
        # Two time constants in turn over the inputs, the second half as long: a sum of two traces.
        half = np.where(np.arange(INPUTS) % 2, 0.5, 1.0)
        taus = TAUS[:, None, None] * half
    full = np.broadcast_to(kernel, (*units, INPUTS))
    synapses = TracedSynapses(units=units, kernel_initializer=full, tau=taus, dtype=dtype)
    total = np.zeros(len(TAUS))
    for part in np.split(xs, 10):
        # Step by step: what is tested is the rounding of each.
        currents = np.asarray(synapses.scan(part, "sequential").value.astype(jnp.float32))
        total += currents.mean(axis=2, dtype=np.float64).sum(axis=0)
    expected = [mean_current(kernel, xs, tau) for tau in TAUS]
    if several:
        odd = np.arange(INPUTS) % 2 == 1
        expected = [
            mean_current(kernel[:, ~odd], xs[:, ~odd], tau)
            + mean_current(kernel[:, odd], xs[:, odd], tau / 2)
            for tau in TAUS
        ]
    np.testing.assert_allclose(total / STEPS, expected, rtol=tolerance("mean", dtype))

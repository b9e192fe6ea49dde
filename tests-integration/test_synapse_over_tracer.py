"""A traced synapse is a tracer behind linear synapses, for every option, dtype and way to run."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from spark.core.tracers import DoubleTracer, Tracer
from spark.core.tracers.agreement import tolerance
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    TracedSynapses,
)

# Multiples of 1/8, so that the drive is exact in whatever order it is summed.
KERNEL = np.random.default_rng(0).integers(-8, 9, (4, 6)) / 8
XS = np.random.default_rng(1).random((12, 6)) < 0.3
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


# Each integrator, rounding and dtype, with each of the others once.
@every_pair
@pytest.mark.parametrize(
    ("dtype", "integrator", "rounding"),
    [
        ("float16", "exact", "stochastic"),
        ("float16", "euler", "nearest"),
        ("bfloat16", "exact", "nearest"),
        ("bfloat16", "euler", "stochastic"),
        ("float32", "exact", "nearest"),
        ("float32", "euler", "stochastic"),
    ],
)
def test_every_option_and_dtype_and_way(pair, dtype, integrator, rounding, drive):
    options = {"dtype": dtype, "integrator": integrator, "rounding": rounding, "seed": 3, "dt": 0.5}
    synapses, tracer = pair_of(pair, **options)
    # The integrator is a choice of coefficients alone: one of them shows how they are composed.
    methods = (
        ("step", "sequential", "parallel") if integrator == "exact" else ("step", "sequential")
    )
    # Both run the same recurrence, in two programs, whichever way they run it.
    close = tolerance("steps", dtype)
    for method in methods:
        if method == "step":
            found = np.stack([np.asarray(synapses(x)) for x in XS[:8]])
            expected = np.stack([np.asarray(tracer(x)) for x in drive[:8]])
        else:
            found, expected = synapses.scan(XS, method), tracer.scan(drive, method)
        found, expected = np.asarray(found), np.asarray(expected)
        assert found.dtype == expected.dtype == dtype
        if dtype != "float32" and method != "parallel":
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
def test_trainable_parameters_are_those_of_the_tracer(pair, drive):
    names, close = tuple(PAIRS[pair][2]), tolerance("steps", "float32")
    synapses, tracer = pair_of(pair, dtype="float32", trainable=names)
    np.testing.assert_allclose(synapses.scan(XS), tracer.scan(drive), rtol=close, atol=close)
    for name in names:
        inside, alone = getattr(synapses.current_tracer, name), getattr(tracer, name)
        assert type(inside) is type(alone)
        np.testing.assert_array_equal(inside[...], alone[...])


@every_pair
def test_reset_is_that_of_the_tracer(pair):
    synapses, tracer = pair_of(pair, dtype="float16")
    synapses.scan(XS)
    synapses.reset()
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
    kernel = np.float32(rng.random((TARGETS, INPUTS)) / 16)
    return xs, kernel


def mean_current(kernel, xs, tau, dtype):
    drive = np.asarray(kernel.astype(dtype), np.float64).mean(axis=0) @ xs.T
    return lfilter([1], [1, -np.exp(-1 / tau)], drive).mean()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("several", [False, True], ids=["one trace", "two traces"])
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
        currents = np.asarray(synapses.scan(part).value.astype(jnp.float32))
        total += currents.mean(axis=2, dtype=np.float64).sum(axis=0)
    stored = jnp.dtype(dtype)
    expected = [mean_current(kernel, xs, tau, stored) for tau in TAUS]
    if several:
        odd = np.arange(INPUTS) % 2 == 1
        expected = [
            mean_current(kernel[:, ~odd], xs[:, ~odd], tau, stored)
            + mean_current(kernel[:, odd], xs[:, odd], tau / 2, stored)
            for tau in TAUS
        ]
    np.testing.assert_allclose(total / STEPS, expected, rtol=tolerance("mean", dtype))

"""Delays of spikes, of inputs and of connections: against spike trains shifted in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    Delays,
    LinearSynapsesConfig,
    SpikeArray,
)
from spark.nn.components.synapses.delays import as_steps
from spark.nn.configs import ConfigError

from .comparing import by_steps
from .kinds import normal, spikes
from .shifted import shifted

XS = spikes(1, (30, 5))
OF_INPUTS = np.array([0, 3, 1, 7, 3])
OF_CONNECTIONS = np.random.default_rng(2).integers(0, 6, (3, 5))


@pytest.mark.parametrize(("dtype", "batch"), [("bool", ()), ("float32", (2,))])
def test_trains_are_shifted(dtype, batch):
    xs = spikes(4, (30, *batch, 5)).astype(dtype)
    expected = shifted(xs, OF_INPUTS)
    scanned, stepped, cut = (Delays(5, OF_INPUTS, batch=batch, dtype=dtype) for _ in range(3))
    np.testing.assert_array_equal(scanned.scan(xs).spikes, expected)
    np.testing.assert_array_equal(by_steps(stepped, xs), expected)
    # Wherever it is cut: within the longest delay, beyond it, into nothing.
    pieces = [cut.scan(piece).spikes for piece in np.split(xs, [3, 6, 6, 18])]
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    for other in (scanned, cut):
        np.testing.assert_array_equal(other.line.slots[...], stepped.line.slots[...])
        assert int(other.line.cursor[...]) == int(stepped.line.cursor[...])
    assert scanned.line.slots[...].dtype == dtype
    assert scanned.line.slots[...].shape == (8, *batch, 5)


def test_one_delay_for_all_and_another_time_step():
    late = Delays((5,), 0.3, dt=0.1).scan(XS)
    np.testing.assert_array_equal(late.spikes, shifted(XS, np.full(5, 3)))


def test_inputs_of_several_axes():
    two = Delays((2, 2), [[0.0, 1.0], [2.0, 3.0]])
    xs = spikes(5, (30, 2, 2))
    np.testing.assert_array_equal(two.scan(xs).spikes, shifted(xs, np.array([[0, 1], [2, 3]])))


def test_no_delay_keeps_no_line():
    for delays in (0.0, np.zeros(5)):
        module = Delays(5, delays)
        assert module.line is None
        np.testing.assert_array_equal(module.scan(XS).spikes, XS)
        module.reset()


def test_reset_clears_the_buffer():
    module = Delays(5, OF_INPUTS)
    module.scan(XS)
    module.reset()
    np.testing.assert_array_equal(module.scan(XS).spikes, shifted(XS, OF_INPUTS))


def test_connections_get_spikes_of_their_own():
    batch = (2,)
    xs = spikes(4, (12, *batch, 5))
    mask = np.array([True, False, False, True, False])
    module = Delays(5, OF_CONNECTIONS, units=3, batch=batch)
    found = module.scan(SpikeArray(xs, mask))
    assert found.async_spikes
    expected = shifted(np.repeat(xs[..., None, :], 3, -2), OF_CONNECTIONS)
    np.testing.assert_array_equal(found.spikes, expected)
    np.testing.assert_array_equal(found.value, np.where(mask, -1, 1) * expected)
    module.reset()
    np.testing.assert_array_equal(by_steps(module, xs), expected)


def test_empty_trains_inputs_and_batches_are_delayed():
    assert Delays(2, [0.0, 2.0]).scan(np.zeros((0, 2), bool)).shape == (0, 2)
    assert Delays(0, np.zeros(0))(np.zeros(0, bool)).shape == (0,)
    assert Delays(0, np.zeros((3, 0)), units=3)(np.zeros(0, bool)).shape == (3, 0)
    assert Delays(2, 1.0, batch=(0,)).scan(np.zeros((4, 0, 2), bool)).shape == (4, 0, 2)


def test_gradients_reach_spikes_of_earlier_steps():
    aim = normal(6, (30, 5))
    late = Delays(5, OF_INPUTS, dtype="float32")

    @nnx.jit
    def gradient(module, xs):
        def loss(module, xs):
            return jnp.vdot(module.scan(xs).spikes, aim)

        return nnx.grad(loss, argnums=1)(module, xs)

    # A spike of step t counts in step t + d, if that is not beyond the end.
    expected = shifted(aim[::-1], OF_INPUTS)[::-1]
    np.testing.assert_array_equal(gradient(late, jnp.asarray(XS, "float32")), expected)


def test_delays_under_nnx_transforms():
    module = Delays(5, OF_INPUTS)
    step = nnx.jit(lambda module, x: module(x).spikes)
    found = np.stack([step(module, jnp.asarray(x)) for x in XS])
    np.testing.assert_array_equal(found, shifted(XS, OF_INPUTS))

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def run(module, x):
        return module, module(x).spikes

    _, found = run(Delays(5, OF_INPUTS), jnp.asarray(XS))
    np.testing.assert_array_equal(found, shifted(XS, OF_INPUTS))


REFUSED = [
    (lambda: Delays(2, [0.0, 0.5]), ValueError, r"whole multiples of dt = 1, .* 0.5 at index \(1,"),
    (lambda: Delays(2, -1.0), ValueError, "delays must be whole multiples .* 0 or more; got -1"),
    (lambda: Delays(2, np.nan), ValueError, "delays must be whole multiples"),
    (lambda: Delays(2, [0.0, np.inf]), ValueError, "delays must be whole multiples"),
    (lambda: Delays(2, 3e9), ValueError, r"delays must be below 2\^31 steps"),
    (lambda: Delays(2, np.zeros(3)), ValueError, r"delays must have shape \(\) or \(2,\), got \(3"),
    (lambda: Delays(2, 1.0, units=3), ValueError, r"delays must have shape \(3, 2\), got \(\)"),
    (lambda: Delays(2, 1.0, dtype="int8"), TypeError, "dtype must be bool or a floating dtype"),
    (lambda: Delays(2, 1.0, dtype="float64"), ValueError, "float64 needs 64-bit types"),
    (lambda: Delays(2, 1.0, dt=0.0), ValueError, "dt must be"),
    (lambda: Delays(2, 1.0)(np.ones(3, bool)), ValueError, r"spikes must have shape \(2,\), got"),
    (lambda: Delays(2, 1.0).scan(np.ones(2, bool)), ValueError, r"\(2,\) after time, got \(2,\)"),
    (lambda: Delays(2, 1.0)(np.ones(2)), TypeError, "spikes must be booleans, .* keeps graded"),
    (
        lambda: Delays(2, 1.0)(SpikeArray(np.ones((3, 2), bool), async_spikes=True)),
        ValueError,
        "spikes must be those of the inputs, got async_spikes=True",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_invalid_delays_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("units", [None, 3])
def test_a_mask_with_a_time_axis_is_refused_and_leaves_the_buffer_empty(units):
    line = Delays(2, np.ones((3, 2) if units else 2), units=units)
    train = SpikeArray(np.ones((3, 2), bool), np.ones((3, 2), bool))
    with pytest.raises(ValueError, match=r"inhibition_mask must have no time axis: 1 axes at most"):
        line.scan(train)
    assert int(line.line.cursor[...]) == 0
    assert not line.line.slots[...].any()


@pytest.mark.parametrize("steps", [0.0, 1.0])
def test_spikes_have_the_dtype_of_the_line(steps):
    for given in (np.array([[True]] * 2), np.array([[7]] * 2), np.array([[0.5]] * 2)):
        found = Delays(1, steps, dtype="float16").scan(given).spikes
        assert found.dtype == jnp.float16
        assert float(found[-1, 0]) == given[-1, 0]


@pytest.mark.parametrize("steps", [0.0, 1.0])
@pytest.mark.parametrize("large", [np.float32(1e6), np.int32(10**6)])
def test_values_beyond_a_dtype_are_limited_and_infinities_stay(steps, large):
    line = Delays(1, steps, dtype="float16")
    assert float(line.scan(np.array([[large]] * 2)).spikes[-1, 0]) == 65504
    assert float(line.scan(np.array([[np.inf]] * 2)).spikes[-1, 0]) == np.inf


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_multiples_of_the_time_step_to_the_digits_of_their_dtype(dtype):
    steps = np.arange(12)
    given = (steps * 0.1).astype(jnp.dtype(dtype))
    np.testing.assert_array_equal(as_steps("delays", given, 0.1), steps)
    with pytest.raises(ValueError, match=r"whole multiples of dt = 0\.1"):
        as_steps("delays", np.asarray(0.25, dtype=jnp.dtype(dtype)), 0.1)


@pytest.mark.parametrize("units", [None, np.array([3])])
def test_a_scan_of_no_step_needs_no_compiler(units):
    delays = np.ones(5) if units is None else np.ones((3, 5))
    line = Delays(np.array([5]), delays, units, batch=np.array([2]))
    front = () if units is None else (3,)
    with jax.disable_jit():
        assert line.scan(np.zeros((0, 2, 5), bool)).shape == (0, 2, *front, 5)
    assert Delays(np.int64(5), 1.0, batch=2)(np.zeros((2, 5), bool)).shape == (2, 5)
    with pytest.raises(TypeError, match="batch must be an integer or a sequence"):
        Delays(5, 1.0, batch=2.5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_numbers_keep_the_digits_of_their_dtype(dtype):
    dtype = jnp.dtype(dtype)
    three = dtype.type(0.3)
    for delay in (three, jnp.asarray(three) if dtype.itemsize < 8 else three, np.array([three])):
        config = LinearSynapsesConfig(units=1, dt=dtype.type(0.1), delays=delay)
        assert as_steps("delays", config.delays, config.dt).max() == 3
        assert config == LinearSynapsesConfig.from_dict(config.to_dict())
    assert Delays(1, three, dt=dtype.type(0.1)).delays[...] == 3
    # One unit in the last place off, as a product is.
    off = np.nextafter(three, three + three)
    assert as_steps("delays", off, 0.1) == 3
    with pytest.raises(ConfigError, match=r"multiples of dt = 0\.1, .* got 0\.2[56]"):
        LinearSynapsesConfig(units=1, dt=0.1, delays=dtype.type(0.26))

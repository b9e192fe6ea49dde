"""Kernels: the dtype that they are stored in, and weights that it would lose."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    AllToAll,
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    RUTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
)
from spark.nn.components.synapses._kernel import inputs_first
from spark.nn.configs import ConfigError
from spark.nn.initializers import KernelInitializerConfig

CLASSES = [LinearSynapses, TracedSynapses, DoubleTracedSynapses, RUTracedSynapses]
every_class = pytest.mark.parametrize("cls", CLASSES)

# One input that spikes and one that does not, each with a weight of 1 to both targets.
DENSE = {"kernel_initializer": np.ones((2, 2))}
STORED = {"connectivity": SparseConnectivity(pre=[0, 0, 1, 1], post=[0, 1, 0, 1], weights=[1] * 4)}


@every_class
@pytest.mark.parametrize(
    ("how", "dtype"),
    [(DENSE, "float16"), (STORED, "bfloat16"), (STORED, "float32")],
    ids=["dense-float16", "stored-bfloat16", "stored-float32"],
)
def test_a_kernel_is_float32_unless_asked_otherwise(cls, how, dtype):
    synapses = cls(units=2, dtype=dtype, **how)
    synapses.build({"spikes": InputSpec((2,))})
    assert synapses.kernel.dtype == jnp.float32
    small = cls(synapses.config, kernel_dtype="float16")
    small.build({"spikes": InputSpec((2,))})
    assert small.kernel.dtype == jnp.float16


def test_a_kernel_is_float64_with_traces_of_float64(x64):
    synapses = LinearSynapses(units=2, dtype="float64")
    synapses.build({"spikes": InputSpec((2,))})
    assert synapses.kernel.dtype == jnp.float64


# The first update of a weight of 1 by a gradient g, from the papers, with eps = 1e-8: Kingma and Ba
# (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2; Hinton (2012), eps in the root.
OPTIMIZERS = [
    (optax.adam(1e-2), lambda g: 1 - 1e-2 * g / (np.abs(g) + 1e-8)),
    (optax.adamw(1e-2, weight_decay=0.1), lambda g: 1 - 1e-2 * (g / (np.abs(g) + 1e-8) + 0.1)),
    (optax.rmsprop(1e-2, decay=0.9), lambda g: 1 - 1e-2 * g / np.sqrt(0.1 * g**2 + 1e-8)),
]


@pytest.mark.parametrize(
    ("cls", "how"),
    [
        (LinearSynapses, DENSE),
        (TracedSynapses, STORED),
        (DoubleTracedSynapses, DENSE),
        (RUTracedSynapses, STORED),
    ],
)
def test_default_kernels_are_trained_by_every_optimizer(cls, how):
    spikes = np.array([[True, False]] * 5)

    def loss(synapses, scale):
        return scale * synapses.scan(spikes).value.astype(jnp.float32).sum()

    synapses = cls(units=2, **how)
    synapses.build({"spikes": InputSpec((2,))})
    weights, slope = synapses.weights.get_value(), nnx.jit(nnx.grad(loss))
    for scale in (1.0, 1e-4):
        (found,) = jax.tree.leaves(slope(synapses, scale))
        gradient = np.asarray(found, np.float64).reshape(2, 2)  # inputs first
        assert (gradient[0] > 0).all()
        assert (gradient[1] == 0).all()
        for optimizer, expected in OPTIMIZERS:
            with jax.numpy_dtype_promotion("standard"):  # optax counts steps in int32
                updates, _ = optimizer.update(found, optimizer.init(weights), weights)
            after = np.asarray(weights + updates).reshape(2, 2)
            # Rounding of float32 near 1, and of an update of 0.03.
            np.testing.assert_allclose(after, expected(gradient), rtol=0, atol=3e-7)


# Values that are not 0 and count as 0 in a dtype: too small for it (float16), or subnormal, which
# XLA takes for 0.
LOST = [
    ("float16", 50e-12),
    ("float16", -6e-9),
    ("bfloat16", 1e-39),
    ("float32", 1e-39),
    ("float32", 1e-50),
]


@pytest.mark.parametrize(("dtype", "value"), LOST)
@pytest.mark.parametrize(
    "how",
    [
        {"kernel_initializer": lambda value: np.array([[1.0, value]])},
        {"kernel_initializer": lambda value: lambda *_: np.array([[value, value]])},
        {
            "kernel_initializer": lambda value: KernelInitializerConfig(
                name="constant", value=max(abs(value), 1e-40)
            )
        },
        {
            "connectivity": lambda value: SparseConnectivity(
                pre=[0, 1], post=[0, 0], weights=[1.0, value]
            )
        },
        {
            "connectivity": lambda _: RandomConnectivity(probability=1.0),
            "kernel_initializer": lambda value: np.array([1.0, value]),
        },
        {
            "connectivity": lambda _: ProceduralConnectivity(fan_out=1, law="constant"),
            "kernel_initializer": lambda value: np.array([value]),
        },
    ],
    ids=["array", "function", "constant", "list", "stored", "procedural"],
)
def test_a_weight_that_would_become_0_is_refused(dtype, value, how):
    arguments = {name: make(value) for name, make in how.items()}
    synapses = LinearSynapses(units=1, dtype="float32", kernel_dtype=dtype, **arguments)
    with pytest.raises(ValueError, match=f"must be 0 or at least .* in {dtype}, got .* at index"):
        synapses.build({"spikes": InputSpec((2,))})
    assert synapses.weights is None


@pytest.mark.parametrize(("dtype", "value"), LOST)
def test_a_kernel_that_is_set_is_checked_and_stays(dtype, value):
    for arguments, wrong in ((DENSE, np.full((2, 2), value)), (STORED, np.full(4, value))):
        synapses = LinearSynapses(units=2, dtype="float32", kernel_dtype=dtype, **arguments)
        synapses.build({"spikes": InputSpec((2,))})
        with pytest.raises(ValueError, match=r"choose a smaller unit, .* or a wider kernel_dtype"):
            synapses.kernel = wrong
        np.testing.assert_array_equal(np.asarray(synapses.kernel.value), np.ones(wrong.shape))


def test_the_smallest_weights_are_kept():
    for dtype, least in (
        ("float16", 2.0**-24),
        ("bfloat16", float(ml_dtypes.finfo("bfloat16").smallest_normal)),
        ("float32", float(np.finfo(np.float32).smallest_normal)),
    ):
        synapses = LinearSynapses(
            units=1,
            dtype="float32",
            kernel_dtype=dtype,
            kernel_initializer=np.array([[least, 0.0]]),
        )
        assert float(synapses(np.array([True, True])).value[0]) == least


def test_draws_that_are_small_beside_the_others_do_not_become_0():
    # Of 10^6 draws some 24 lie within 3e-8 of 0, where float16 rounds to 0.
    initializer = KernelInitializerConfig(name="normal", stddev=1e-3)
    synapses = LinearSynapses(
        units=1000, dtype="float32", kernel_dtype="float16", kernel_initializer=initializer
    )
    synapses.build({"spikes": InputSpec((1000,))})
    drawn = np.asarray(initializer(nnx.Rngs(0).params(), (1000, 1000), "float32"))
    assert (drawn.astype(np.float16) == 0).any()  # so that the fact is tried
    assert (np.asarray(synapses.kernel.value) != 0).all()
    lost = LinearSynapses(synapses.config, kernel_initializer=initializer.replace(stddev=1e-7))
    with pytest.raises(ValueError, match="kernel_initializer must be 0 or at least"):
        lost.build({"spikes": InputSpec((1000,))})


SMALL = {"kernel_initializer": np.full((2, 3), 1e-6)}
LIST = SparseConnectivity(pre=[0, 1, 1], post=[0, 0, 1], weights=[1.0, 1e-6, 1.0])
FAINT = [
    (LinearSynapses, {"kernel_initializer": np.array([[1.0, 1e-9, 1.0]] * 2)}),
    (TracedSynapses, {**SMALL, "scale": 1e-2}),
    (TracedSynapses, {**SMALL, "scale": np.array([1.0, 1e-2])}),
    (TracedSynapses, {**SMALL, "scale": np.array([[1.0, 1.0, 1e-2]])}),
    (RUTracedSynapses, {**SMALL, "scale": 1e-2}),
    (DoubleTracedSynapses, {**SMALL, "scale_2": 1e-3}),  # peaks below 5 ms * 1e-9
    (TracedSynapses, {"connectivity": LIST, "scale": 1e-2}),
    (TracedSynapses, {"connectivity": LIST, "scale": np.array([1e-2, 1.0])}),
    (TracedSynapses, {"connectivity": LIST, "scale": np.array([[1.0, 1e-2, 1.0]])}),
]


@pytest.mark.parametrize(("cls", "arguments"), FAINT)
def test_a_current_that_the_dtype_cannot_show_is_warned_of(cls, arguments):
    synapses = cls(units=2, **arguments)
    with pytest.warns(UserWarning, match="float16 holds none below 5.96e-08: choose dtype='float"):
        synapses.build({"spikes": InputSpec((3,))})
    # Warnings are errors here.
    cls(synapses.config, dtype="float32").build({"spikes": InputSpec((3,))})
    scales = {name: 1.0 for name in arguments if name.startswith("scale")}
    if scales:
        cls(synapses.config, **scales).build({"spikes": InputSpec((3,))})


def test_a_weight_is_looked_at_with_the_scale_of_its_own_input():
    # Of 1e-4 each. A weight with the scale of the other input would give 1e-8.
    arguments = {"scale": np.array([[1.0, 1e-4]]), "kernel_initializer": np.array([1e-4, 1.0])}
    synapses = TracedSynapses(units=1, connectivity=AllToAll(), **arguments)
    synapses.build({"spikes": InputSpec((2,))})  # warnings are errors here


@pytest.mark.parametrize("name", ["scale", "base"])
def test_a_parameter_that_would_become_0_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must be 0 or at least .*, got 1e-45"):
        TracedSynapses(units=2, **DENSE, **{name: 1e-45}).build({"spikes": InputSpec((2,))})


def test_a_base_that_a_trace_cannot_rest_on_is_refused():
    TracedSynapses(units=2, **DENSE, base=1e-9, dtype="float32").build({"spikes": InputSpec((2,))})
    with pytest.raises(ValueError, match=r"base must be 0 or at least 5\.96e-08 in float16"):
        TracedSynapses(units=2, **DENSE, base=1e-9).build({"spikes": InputSpec((2,))})


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [
        # dt / -log(1 - eps/2), and dt / (eps/2) for Euler steps; eps of float16 is 2^-10.
        ({"rounding": "nearest"}, 2047.5),
        ({"rounding": "nearest", "integrator": "euler", "dt": 0.5}, 1024),
        ({}, 16777215.5),
        ({"integrator": "euler"}, 16777216),
    ],
)
def test_the_longest_time_constant_is_named(arguments, longest):
    for cls, name in ((TracedSynapses, "tau"), (DoubleTracedSynapses, "tau_2")):
        for wrong in (np.inf, longest * 1.01, np.array([1.0, np.inf])):
            with pytest.raises(
                ConfigError, match=f"{name} must be at most {longest:.6g}".replace("+", ".")
            ):
                cls(units=2, **arguments, **{name: wrong})
    TracedSynapses(units=2, tau=longest * 0.99, **arguments).build({"spikes": InputSpec((2,))})


@pytest.mark.parametrize("weights", [np.array([6e-12, 7e-12]), np.array([0.0, 1e-9])])
def test_drawn_weights_that_no_current_shows_are_warned_of(weights):
    connectivity = ProceduralConnectivity(fan_out=3)
    synapses = LinearSynapses(units=20, connectivity=connectivity, kernel_initializer=weights)
    with pytest.warns(UserWarning, match="float16 holds none below") as caught:
        synapses(np.ones(4))  # the first call builds
    assert caught[0].filename == __file__


@pytest.mark.parametrize("cls", [TracedSynapses, DoubleTracedSynapses])
def test_parameters_of_no_inputs_are_taken(cls):
    name = "tau" if cls is TracedSynapses else "tau_1"
    synapses = cls(units=2, **{name: np.ones((2, 0))})
    synapses.build({"spikes": InputSpec((0,))})
    np.testing.assert_array_equal(synapses(np.zeros(0, bool)), [0, 0])


def test_inputs_first_puts_the_weights_of_an_input_side_by_side():
    whole = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    found = inputs_first(whole, 2)
    assert found.shape == (35, 6)
    np.testing.assert_array_equal(found[2 * 7 + 4], whole[:, :, 2, 4].reshape(-1))

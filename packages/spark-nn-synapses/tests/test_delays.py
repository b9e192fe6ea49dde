"""Delays: of inputs and of connections, against spike trains shifted in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers.agreement import tolerance
from spark.nn.components.synapses import (
    Delays,
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    LinearSynapsesConfig,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    SpikeArray,
    TracedSynapses,
    TracedSynapsesConfig,
)
from spark.nn.components.synapses.delays import as_steps
from spark.nn.components.synapses.rows import DelayedRows
from spark.nn.configs import ConfigError

from .kinds import LINEAR, TRACED, exact, laid_out, normal, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (30, 5))
OF_INPUTS = np.array([0, 3, 1, 7, 3])
OF_CONNECTIONS = np.random.default_rng(2).integers(0, 6, (3, 5))
# Connections of 5 inputs to 3 targets, with one that comes twice, after two delays.
PRE, POST, STEPS = np.array(
    [[0, 0, 1, 3, 3, 3, 4, 4], [0, 2, 1, 0, 1, 2, 2, 2], [2, 0, 5, 1, 0, 4, 3, 6]]
)
WEIGHTS = normal(3, 8)
CLOSE = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float32"))


def shifted(xs, delays):
    """Spike trains (time, *shape), each so many steps later."""
    xs = np.broadcast_to(xs, (*xs.shape[: xs.ndim - np.ndim(delays)], *np.shape(delays)))
    late = np.zeros_like(xs)
    for at in np.ndindex(np.shape(delays)):
        steps = delays[at]
        late[(slice(steps, None), ..., *at)] = xs[(slice(0, len(xs) - steps), ..., *at)]
    return late


def of_connections(xs, delays):
    """Spikes of each connection (time, targets, inputs)."""
    return shifted(xs[:, None, :].repeat(len(delays), 1), delays)


def by_steps(module, xs):
    return np.stack([np.asarray(module(x)) for x in xs])


def state(module):
    leaves = jax.tree.leaves(module._state())
    return [np.asarray(leaf) for leaf in leaves if not is_key(leaf.dtype)]


def is_key(dtype):
    return jnp.issubdtype(dtype, jax.dtypes.prng_key)


# The module for spikes.


@pytest.mark.parametrize("dtype", ["bool", "float32"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_trains_are_shifted(dtype, batch):
    xs = spikes(4, (30, *batch, 5)).astype(dtype)
    expected = shifted(xs, OF_INPUTS)
    scanned, stepped, cut = (Delays(5, OF_INPUTS, batch=batch, dtype=dtype) for _ in range(3))
    np.testing.assert_array_equal(scanned.scan(xs).spikes, expected)
    np.testing.assert_array_equal(by_steps(stepped, xs), expected)
    # Wherever it is cut: within the longest delay, beyond it, into nothing.
    pieces = [cut.scan(piece).spikes for piece in np.split(xs, [1, 3, 3, 14])]
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    for other in (scanned, cut):
        np.testing.assert_array_equal(other.line.places[...], stepped.line.places[...])
        assert int(other.line.now[...]) == int(stepped.line.now[...])
    assert scanned.line.places[...].dtype == dtype
    assert scanned.line.places[...].shape == (8, *batch, 5)


def test_one_delay_for_all_and_another_time_step():
    late = Delays((5,), 0.3, dt=0.1).scan(XS)
    np.testing.assert_array_equal(late.spikes, shifted(XS, np.full(5, 3)))
    two = Delays((2, 2), [[0.0, 1.0], [2.0, 3.0]])
    xs = spikes(5, (9, 2, 2))
    np.testing.assert_array_equal(two.scan(xs).spikes, shifted(xs, np.array([[0, 1], [2, 3]])))


def test_no_delay_keeps_no_line():
    for delays in (0.0, np.zeros(5)):
        module = Delays(5, delays)
        assert module.line is None
        np.testing.assert_array_equal(module.scan(XS).spikes, XS)
        module.reset()


def test_reset_forgets_what_is_on_its_way():
    module = Delays(5, OF_INPUTS)
    module.scan(XS)
    module.reset()
    np.testing.assert_array_equal(module.scan(XS).spikes, shifted(XS, OF_INPUTS))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_connections_get_spikes_of_their_own(batch):
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


def test_synapses_with_asynchronous_spikes_take_them():
    late = Delays(5, OF_CONNECTIONS, units=3).scan(XS)
    apart = TRACED.make(KERNEL, async_spikes=True).scan(late)
    within = TRACED.make(KERNEL, delays=OF_CONNECTIONS).scan(XS)
    expected = TRACED.currents(KERNEL, of_connections(XS, OF_CONNECTIONS), async_spikes=True)
    np.testing.assert_allclose(apart, expected, **CLOSE)
    np.testing.assert_allclose(within, expected, **CLOSE)


def test_nothing_is_delayed():
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
def test_what_is_no_delay_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("units", [None, 3])
def test_a_mask_with_a_time_axis_is_refused_and_nothing_is_on_its_way(units):
    line = Delays(2, np.ones((3, 2) if units else 2), units=units)
    train = SpikeArray(np.ones((3, 2), bool), np.ones((3, 2), bool))
    with pytest.raises(ValueError, match=r"inhibition_mask must have no time axis: 1 axes at most"):
        line.scan(train)
    assert int(line.line.ring.now) == 0
    assert not line.line.ring.places.any()


@pytest.mark.parametrize("steps", [0.0, 1.0])
def test_spikes_have_the_dtype_of_the_line(steps):
    for given in (np.array([[True]] * 2), np.array([[7]] * 2), np.array([[0.5]] * 2)):
        found = Delays(1, steps, dtype="float16").scan(given).spikes
        assert found.dtype == jnp.float16
        assert float(found[-1, 0]) == given[-1, 0]


@pytest.mark.parametrize("steps", [0.0, 1.0])
@pytest.mark.parametrize("large", [np.float32(1e6), np.int32(10**6)])
def test_what_a_dtype_cannot_hold_is_limited_and_what_is_infinite_is_not(steps, large):
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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_numbers_keep_the_digits_of_their_dtype(dtype):
    dtype = jnp.dtype(dtype)
    three = dtype.type(0.3)
    for delay in (three, jnp.asarray(three) if dtype.itemsize < 8 else three, np.array([three])):
        synapses = LinearSynapses(units=1, dt=dtype.type(0.1), delays=delay)
        synapses.build({"spikes": InputSpec((1,))})
        assert synapses.delays[...].max() == 3
        assert synapses.config == LinearSynapsesConfig.from_dict(synapses.config.to_dict())
    assert Delays(1, three, dt=dtype.type(0.1)).delays[...] == 3
    # One unit in the last place off, as a product is.
    off = np.nextafter(three, three + three)
    assert as_steps("delays", off, 0.1) == 3
    with pytest.raises(ConfigError, match=r"multiples of dt = 0\.1, .* got 0\.2[56]"):
        LinearSynapsesConfig(units=1, dt=0.1, delays=dtype.type(0.26))


@pytest.mark.parametrize("delay", [0.3 - 3 * 0.1, 3 * 0.1 - 0.3, -0.0])
def test_a_delay_of_0_is_rounded_on_both_sides(delay):
    for form in (delay, np.array([delay]), np.array([[delay]])):
        synapses = LinearSynapses(units=1, dt=0.1, delays=form)
        synapses.build({"spikes": InputSpec((1,))})
        assert synapses.spikes_on_way is None
        assert synapses.drive_on_way is None
    listed = SparseConnectivity(pre=[0], post=[0], delays=[delay])
    LinearSynapses(units=1, dt=0.1, connectivity=listed).build({"spikes": InputSpec((1,))})
    assert Delays(1, delay, dt=0.1).line is None
    with pytest.raises(ConfigError, match=r"delays must be whole multiples .* got -0\.1"):
        LinearSynapsesConfig(units=1, dt=0.1, delays=-0.1)


# Synapses with delays.

LATE = SparseConnectivity(pre=PRE, post=POST, delays=STEPS)


def sparse_currents(xs, arguments):
    """Currents of those connections: of each delay its own spikes, summed up."""
    bases = {name: 0.0 for name in TRACED.arguments if name.startswith("base")}
    total = np.full((len(xs), 3), TRACED.arguments["base"])
    for pre, post, steps, weight in zip(PRE, POST, STEPS, WEIGHTS, strict=True):
        kernel = np.zeros((3, 5))
        kernel[post, pre] = weight
        late = shifted(xs, np.full(5, steps))
        total += TRACED.currents(kernel, late, **arguments, **bases)
    return total


def cases(way="auto", layout="scalar", **kwargs):
    """Synapses with each kind of delay, and their currents."""
    arguments, _ = laid_out(TRACED, layout)
    options = {"projection": way, **arguments, **kwargs}
    per_connection = of_connections(XS, OF_CONNECTIONS)
    return {
        "all": (
            TRACED.make(KERNEL, delays=2.0, **options),
            TRACED.currents(KERNEL, shifted(XS, np.full(5, 2)), **arguments),
        ),
        "inputs": (
            TRACED.make(KERNEL, delays=OF_INPUTS, **options),
            TRACED.currents(KERNEL, shifted(XS, OF_INPUTS), **arguments),
        ),
        "connections": (
            TRACED.make(KERNEL, delays=OF_CONNECTIONS, **options),
            TRACED.currents(KERNEL, per_connection, async_spikes=True, **arguments),
        ),
        "sparse": (
            TRACED.make(WEIGHTS, connectivity=LATE, **options),
            sparse_currents(XS, arguments),
        ),
    }


every_case = pytest.mark.parametrize("case", cases())


@every_case
@pytest.mark.parametrize(
    ("way", "layout"), [("dense", "two-values-per-target"), ("events", "per-target")]
)
def test_currents_are_those_of_shifted_trains(case, way, layout):
    module, expected = cases(way, layout)[case]
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)


def test_a_trace_per_synapse_takes_delays_of_inputs():
    module, expected = cases(layout="per-synapse")["inputs"]
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)


@pytest.mark.parametrize(
    ("case", "dtype"), [*((case, "float16") for case in cases()), ("sparse", "float32")]
)
def test_scans_go_on_where_steps_end_and_back(case, dtype):
    # Weights that add up without rounding, whatever the order.
    kernel = exact(6, 8) if case == "sparse" else exact(6, (3, 5))
    arguments = {"kernel_initializer": kernel, "dtype": dtype}

    def made():
        module = cases()[case][0]
        return type(module)(module.config.replace(**arguments))

    stepped, scanned, cut = made(), made(), made()
    ys, found = by_steps(stepped, XS), np.asarray(scanned.scan(XS))
    parts = np.concatenate(
        [cut.scan(XS[:2]), by_steps(cut, XS[2:5]), cut.scan(XS[5:5]), cut.scan(XS[5:])]
    )
    tolerances = dict.fromkeys(("rtol", "atol"), tolerance("steps", "float32"))
    for other, currents in ((scanned, found), (cut, parts)):
        if dtype == "float16":
            np.testing.assert_array_equal(currents, ys)
        else:
            np.testing.assert_allclose(currents, ys, **tolerances)
        for one, two in zip(state(other), state(stepped), strict=True):
            # Integers are counts, of steps and places.
            np.testing.assert_allclose(one, two, **tolerances)
    expected = cases()[case][1]
    assert found.shape == expected.shape


@every_case
def test_reset_and_inhibition(case):
    module, _ = cases()[case]
    mask = np.array([True, False, False, True, False])
    module.scan(np.ones((4, 5), bool))
    module.reset()
    found = np.asarray(module.scan(SpikeArray(XS, mask)))
    # Linear in the spikes, apart from the base.
    plain, base = cases()[case][0], TRACED.arguments["base"]
    two = [
        np.asarray(plain.scan(XS & part)) - base for part in (~mask, mask) if plain.reset() is None
    ]
    np.testing.assert_allclose(found - base, two[0] - two[1], **CLOSE)


@every_case
def test_batch_axes_are_separate_modules(case):
    module, expected = cases()[case]
    module.build({"spikes": InputSpec((5,), batch=(2,))})
    found = np.asarray(module.scan(np.stack([np.zeros_like(XS), XS], 1)))
    np.testing.assert_allclose(found[:, 1], expected, **CLOSE)
    np.testing.assert_array_equal(found[:, 0], np.full((30, 3), TRACED.arguments["base"]))


@every_case
def test_gradients_of_graded_spikes_and_weights(case):
    module, _ = cases()[case]
    module.build({"spikes": InputSpec((5,))})
    rng = np.random.default_rng(7)
    xs, push = (jnp.asarray(rng.normal(size=XS.shape) * XS, "float32") for _ in range(2))
    aim = jnp.asarray(rng.normal(size=(30, 3)), "float32")

    @nnx.jit
    def gradients(module, xs):
        def loss(module, xs):
            return jnp.vdot(module.scan(xs).value, aim)

        return nnx.grad(loss, argnums=(0, 1))(module, xs)

    of_module, of_spikes = gradients(module, xs)

    def response(xs):
        module.reset()
        return np.vdot(np.asarray(module.scan(xs)) - TRACED.arguments["base"], aim)

    # Currents are linear in spikes, and in weights.
    scale = np.abs(np.asarray(of_spikes)).sum()
    bound = tolerance("gradient", "float32") * scale
    np.testing.assert_allclose(jnp.vdot(of_spikes, push), response(push), rtol=0, atol=bound)
    of_weights = of_module["weights"].get_value()
    along = jnp.vdot(of_weights, module.weights.get_value())
    np.testing.assert_allclose(along, response(xs), rtol=0, atol=bound)


def test_a_nan_weight_of_a_silent_input_stays_where_it_is():
    silent = XS.copy()
    silent[:, [1, 4]] = False
    for case, axis in (("connections", None), ("sparse", PRE)):
        clean, faulty = cases()[case][0], cases()[case][0]
        for module in (clean, faulty):
            module.build({"spikes": InputSpec((5,))})
        weights = faulty.weights.get_value()
        at = np.isin(np.arange(5), [1, 4])[:, None] if axis is None else np.isin(axis, [1, 4])
        faulty.weights.set_value(jnp.where(jnp.broadcast_to(at, weights.shape), jnp.nan, weights))
        np.testing.assert_array_equal(faulty.scan(silent), clean.scan(silent))


def test_no_delay_keeps_no_buffer():
    for delays in (0.0, np.zeros(5), np.zeros((3, 5)), np.zeros((1, 5))):
        module = TRACED.make(KERNEL, delays=delays)
        np.testing.assert_allclose(module.scan(XS), TRACED.currents(KERNEL, XS), **CLOSE)
        assert module.spikes_on_way is None
        assert module.drive_on_way is None
        assert module.pathway.drive.rows is None
    none = SparseConnectivity(pre=PRE, post=POST, delays=0.0 * STEPS)
    module = TRACED.make(WEIGHTS, connectivity=none)
    module.build({"spikes": InputSpec((5,))})
    assert module.drive_on_way is None
    assert not isinstance(module.pathway.drive.rows, DelayedRows)


def test_buffers_are_as_long_as_the_longest_delay():
    module = cases()["inputs"][0]
    module.build({"spikes": InputSpec((5,))})
    assert module.spikes_on_way.places[...].shape == (8, 5)
    assert module.drive_on_way is None
    module = cases()["sparse"][0]
    module.build({"spikes": InputSpec((5,))})
    assert module.spikes_on_way is None
    assert module.drive_on_way.places[...].shape == (7, 3)


def test_shapes_of_delays():
    # The same for all targets.
    module = TRACED.make(KERNEL, delays=OF_INPUTS[None])
    np.testing.assert_allclose(
        module.scan(XS), TRACED.currents(KERNEL, shifted(XS, OF_INPUTS)), **CLOSE
    )
    # Of each target.
    of_targets = np.array([[2], [0], [5]])
    module = TRACED.make(KERNEL, delays=of_targets)
    late = of_connections(XS, np.broadcast_to(of_targets, (3, 5)))
    expected = TRACED.currents(KERNEL, late, async_spikes=True)
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    # Several axes.
    xs, steps = spikes(5, (20, 2, 2)), np.arange(24).reshape(3, 2, 2, 2) % 5
    kernel = normal(8, (3, 2, 2, 2))
    module = LINEAR.make(kernel, (3, 2), delays=steps)
    late = shifted(np.broadcast_to(xs[:, None, None], (20, 3, 2, 2, 2)), steps)
    expected = LINEAR.currents(kernel, late, 2, async_spikes=True)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)


@pytest.mark.parametrize(
    "connectivity", [FixedFanOut(fan_out=2), ProceduralConnectivity(fan_out=2)]
)
def test_drawn_connections_take_delays(connectivity):
    plain = LinearSynapses(units=3, connectivity=connectivity, dtype="float32")
    late = LinearSynapses(units=3, connectivity=connectivity, delays=OF_INPUTS, dtype="float32")
    # One addition is rounded otherwise where booleans have become numbers.
    np.testing.assert_allclose(late.scan(XS), plain.scan(shifted(XS, OF_INPUTS)), rtol=1e-6)
    if not isinstance(connectivity, FixedFanOut):
        return
    each = LinearSynapses(
        units=3, connectivity=connectivity, delays=OF_CONNECTIONS, dtype="float32"
    )
    found = each.scan(XS)
    pre, post = map(np.asarray, each.connections)
    assert [a.tolist() for a in plain.connections] == [pre.tolist(), post.tolist()]
    kernel = np.zeros((3, 5))
    kernel[post, pre] = each.kernel
    late = of_connections(XS, OF_CONNECTIONS)
    np.testing.assert_allclose(found, np.sum(kernel * late, -1), **CLOSE)


@pytest.mark.parametrize("scanned", [False, True], ids=["call", "scan"])
@pytest.mark.parametrize(
    "delays",
    [np.full((2, 2), 3.0), [[3.0, 3.0]], [[3.0], [3.0]], [[3.0]]],
    ids=["matrix", "of inputs", "of targets", "one"],
)
@pytest.mark.parametrize("connectivity", ["dense", RandomConnectivity(probability=1.0)])
def test_with_delays_of_connections_the_weight_at_emission_counts(connectivity, delays, scanned):
    ones = np.ones((2, 2) if connectivity == "dense" else 4)
    synapses = LINEAR.make(ones, 2, connectivity=connectivity, delays=delays)
    nothing = np.zeros((3, 2), bool)
    synapses(np.array([True, True]))
    synapses.kernel = 10 * ones
    found = synapses.scan(nothing) if scanned else [synapses(each) for each in nothing]
    np.testing.assert_array_equal([np.asarray(each) for each in found], [[0, 0], [0, 0], [2, 2]])


@pytest.mark.parametrize("delays", [3.0, [3.0, 3.0]])
def test_with_delays_of_inputs_the_weight_at_arrival_counts(delays):
    synapses = LINEAR.make(np.ones((2, 2)), 2, delays=delays)
    synapses(np.array([True, True]))
    synapses.kernel = np.full((2, 2), 10.0)
    np.testing.assert_array_equal(synapses.scan(np.zeros((3, 2), bool))[-1], [20, 20])


def test_many_steps_times_targets_are_counted_from_now():
    # Places beyond 16 bits.
    steps = 700
    given = SparseConnectivity(
        pre=[0, 0, 1], post=[99, 0, 50], weights=[1, 2, 4], delays=[steps, 3, 0]
    )
    module = LinearSynapses(units=100, connectivity=given, dtype="float32")
    xs = np.zeros((2 * steps, 2), bool)
    xs[[1, 699, 700], 0] = True
    xs[1399, 1] = True
    found = np.asarray(module.scan(xs))
    expected = np.zeros((2 * steps, 100), np.float32)
    expected[[701, 1399], 99] = 1
    expected[[4, 702, 703], 0] = 2
    expected[1399, 50] = 4
    np.testing.assert_array_equal(found, expected)


WRONG = [
    ({"delays": 0.5}, "delays must be whole multiples of dt = 1, 0 or more; got 0.5"),
    ({"delays": [1.0, -1.0]}, r"delays must be whole .* 0 or more; got -1 at index \(1,\)"),
    ({"delays": np.nan}, "delays must be finite"),
    ({"delays": "late"}, "delays must be a number or an array of numbers"),
    ({"delays": 1.0, "async_spikes": True}, "async_spikes, .* go with .* no delays"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_configuration_refuses(arguments, message):
    with pytest.raises(ConfigError, match=f"TracedSynapsesConfig: {message}"):
        TracedSynapsesConfig(units=3, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"delays": np.ones(4)},
            r"delays must be a scalar or of shape \(5,\), .* got shape \(4,\)",
        ),
        ({"delays": np.ones((3, 4))}, r"broadcastable to \(3, 5\), .* got shape \(3, 4\)"),
        ({"delays": 1.0, "connectivity": LATE}, "delays are given twice"),
        (
            {"connectivity": SparseConnectivity(pre=[0], post=[0], delays=[0.5])},
            "delays of the connectivity must be whole multiples",
        ),
    ],
)
def test_build_refuses(arguments, message):
    module = TracedSynapses(units=3, **arguments)
    with pytest.raises(ValueError, match=message):
        module.build({"spikes": InputSpec((5,))})
    assert module.pathway is None
    assert module.spikes_on_way is None
    assert module.drive_on_way is None


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

"""Batches whose sequences end at different times: reset in part, and padded to one length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import (
    Delays,
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    RUTracedSynapses,
    TracedSynapses,
)

from .kinds import LINEAR, spikes
from .shifted import shifted

TIME, BATCH, INPUTS, UNITS = 24, (2, 3), 6, 5
LENGTHS = np.array([[24, 0, 7], [1, 19, 23]])
XS = spikes(0, (TIME, *BATCH, INPUTS))
OF_INPUTS = np.array([0.0, 2.0, 5.0, 1.0, 0.0, 3.0])
OF_CONNECTIONS = 1.0 * np.random.default_rng(1).integers(0, 6, (UNITS, INPUTS))
FIVE = np.full((UNITS, INPUTS), 30.0)
PER_INPUT = np.where(np.arange(INPUTS) % 2, 4.0, 9.0)[None]

# Each connectivity with delays of each kind, and each class, such that each meets each delay.
CASES = {
    "dense": (LinearSynapses, {}),
    "dense-inputs": (TracedSynapses, {"delays": OF_INPUTS, "tau": PER_INPUT, "base": 0.5}),
    "dense-inputs-linear": (LinearSynapses, {"delays": 3.0}),
    "dense-connections": (DoubleTracedSynapses, {"delays": OF_CONNECTIONS}),
    "dense-late": (RUTracedSynapses, {"delays": FIVE}),  # later than the sequence is long
    "dense-late-inputs": (RUTracedSynapses, {"delays": 30.0}),
    "dense-synapse": (TracedSynapses, {"tau": 3 + np.arange(30.0).reshape(UNITS, INPUTS)}),
    "random": (DoubleTracedSynapses, {"connectivity": RandomConnectivity(probability=0.5)}),
    "random-connections": (
        RUTracedSynapses,
        {
            "connectivity": RandomConnectivity(probability=0.5),
            "delays": OF_CONNECTIONS,
            "tau": PER_INPUT,
        },
    ),
    "drawn-inputs": (
        RUTracedSynapses,
        {"connectivity": ProceduralConnectivity(fan_out=3), "delays": OF_INPUTS},
    ),
}


def make(case, batch=BATCH, dtype="float64", **more):
    cls, arguments = CASES[case]
    given = {"kernel_initializer": nnx.initializers.uniform(1.0)} | arguments | more
    if isinstance(given.get("connectivity"), ProceduralConnectivity):
        del given["kernel_initializer"]
    module = cls(units=UNITS, dtype=dtype, **given)
    module.build({"spikes": InputSpec((INPUTS,), batch=batch)})
    return module


def leaves(module):
    state = jax.tree.leaves(module.state)
    return [np.asarray(x) for x in state if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


@pytest.mark.parametrize(
    ("case", "method"),
    [*((case, "auto") for case in CASES), ("dense-inputs", "parallel"), ("random", "parallel")],
)
@pytest.mark.usefixtures("x64")
def test_each_entry_is_as_if_it_were_alone(case, method):
    close = dict.fromkeys(("rtol", "atol"), tolerance("steps", "float64"))
    module = make(case)
    module.scan(XS[:9])  # a state to go on from, with spikes on their way
    padded = module.scan(XS, method, lengths=LENGTHS).value
    after = module.scan(XS).value
    for entry in np.ndindex(BATCH):
        at, alone = (slice(None), *entry), make(case, ())
        own, length = XS[at], LENGTHS[entry]
        alone.scan(own[:9])
        np.testing.assert_allclose(padded[at][:length], alone.scan(own[:length]).value, **close)
        np.testing.assert_array_equal(padded[at][length:], 0)
        np.testing.assert_allclose(after[at], alone.scan(own).value, **close)


def test_currents_are_those_of_numpy():
    kernel = np.random.default_rng(2).normal(size=(UNITS, INPUTS))
    module = LINEAR.make(kernel, UNITS, "float32", delays=OF_INPUTS)
    module.build({"spikes": InputSpec((INPUTS,), batch=BATCH)})
    expected = shifted(XS, OF_INPUTS.astype(int)) @ kernel.T
    expected[np.arange(TIME)[:, None, None] >= LENGTHS] = 0
    close = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float32"))
    np.testing.assert_allclose(module.scan(XS, lengths=LENGTHS), expected, **close)


# In half precision too, whose noise counts all steps.
@pytest.mark.parametrize("case", ["dense-inputs", "random-connections", "dense-connections"])
def test_the_state_is_that_after_its_length_bit_for_bit(case):
    module = make(case, dtype="float16")
    module.scan(XS, "sequential", lengths=LENGTHS)
    for entry in np.ndindex(BATCH):
        cut = make(case, dtype="float16")
        cut.scan(XS[: LENGTHS[entry]], "sequential")
        for name in ("current_tracer", "release_tracer"):
            if getattr(module, name) is not None:
                found, expected = (getattr(each, name).state.traces for each in (module, cut))
                for one, two in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(one[entry], two[entry])


def test_padding_is_not_read():
    module = make("dense-inputs", dtype="float32")
    graded = np.where(XS, 0.5, 0.0).astype(np.float32)
    graded[np.arange(TIME)[:, None, None] >= LENGTHS] = np.nan
    assert np.isfinite(module.scan(graded, lengths=LENGTHS).value).all()
    assert all(np.isfinite(leaf).all() for leaf in leaves(module))


@pytest.mark.parametrize("case", ["dense-inputs", "random-connections"])
@pytest.mark.usefixtures("x64")
def test_gradients_are_those_of_each_entry_alone(case):
    def gradient(entry=None):
        module = make(case, BATCH if entry is None else ())
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params):
            module = nnx.merge(graph, params, rest, copy=True)
            at = (slice(None), *(entry or ()))
            length = LENGTHS if entry is None else LENGTHS[entry]
            xs = XS[at] if entry is None else XS[at][:length]
            first = module.scan(xs, lengths=None if entry else length)
            return jnp.sum(first.value**2) + jnp.sum(module.scan(XS[at]).value ** 2)

        return np.asarray(jax.tree.leaves(jax.grad(loss)(params))[0])

    total = sum(gradient(entry) for entry in np.ndindex(BATCH))
    bound = tolerance("gradient", "float64") * np.abs(total).max()
    np.testing.assert_allclose(gradient(), total, rtol=0, atol=bound)


def test_without_a_batch_there_is_one_length():
    module, cut = (make("dense-inputs", (), "float32") for _ in range(2))
    xs = XS[:, 0, 0]
    module.scan(xs, lengths=7)
    cut.scan(xs[:7])
    for one, two in zip(leaves(module)[:1], leaves(cut)[:1], strict=True):
        np.testing.assert_array_equal(np.roll(one, -24 % 6, 0), np.roll(two, -7 % 6, 0))
    np.testing.assert_array_equal(module.scan(xs).value, cut.scan(xs).value)


def test_delays_stop_each_entry_at_its_length():
    late = Delays(INPUTS, OF_INPUTS, batch=BATCH)
    found, after = late.scan(XS, lengths=LENGTHS).spikes, late.scan(XS).spikes
    for entry in np.ndindex(BATCH):
        at, length = (slice(None), *entry), LENGTHS[entry]
        both = np.concatenate([XS[at][:length], XS[at]])
        expected = shifted(both, OF_INPUTS.astype(int))
        np.testing.assert_array_equal(found[at][:length], expected[:length])
        assert not found[at][length:].any()
        np.testing.assert_array_equal(after[at], expected[length:])


@pytest.mark.parametrize("case", CASES)
def test_a_masked_reset_touches_the_mask_alone(case):
    mask = np.array([True, False, True])  # of the last batch axis
    module, kept, fresh = (make(case, dtype="float16") for _ in range(3))
    for each in (module, kept):
        each.scan(XS)
    fresh.scan(np.zeros_like(XS))  # for the cursors and the noise
    module.masked_reset(mask)
    for link in ("release_tracer", "delay_line", "matrix", "current_tracer"):
        held = getattr(module, link)
        if held is None or held.state is None:
            continue
        for one, two, three in zip(
            *(jax.tree.leaves(getattr(each, link).state) for each in (module, kept, fresh)),
            strict=True,
        ):
            if one.ndim < 2:  # cursors, counts and keys
                continue
            axis = 1 if link == "delay_line" else 0  # slots lead
            one, two, three = (np.moveaxis(np.asarray(x), axis + 1, 0) for x in (one, two, three))
            np.testing.assert_array_equal(one[~mask], two[~mask])
            np.testing.assert_array_equal(one[mask], three[mask])


def test_a_masked_reset_runs_inside_a_program():
    module, whole = (make("random-connections", dtype="float32") for _ in range(2))

    @nnx.jit
    def run(module, xs, mask):
        module.scan(xs)
        module.masked_reset(mask)
        return module.scan(xs, lengths=jnp.asarray(LENGTHS)).value

    whole.scan(XS)
    whole.masked_reset(LENGTHS > 5)
    expected = whole.scan(XS, lengths=LENGTHS).value
    np.testing.assert_array_equal(run(module, XS, LENGTHS > 5), expected)


def test_delays_are_forgotten_in_part():
    late = Delays(INPUTS, 2.0, batch=(2,))
    late(np.ones((2, INPUTS), bool))
    late.masked_reset(np.array([True, False]))
    found = late.scan(np.zeros((2, 2, INPUTS), bool)).spikes
    np.testing.assert_array_equal(found[:, 0], False)
    np.testing.assert_array_equal(found[:, 1], [[False] * INPUTS, [True] * INPUTS])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.scan(XS, lengths=LENGTHS / 2), TypeError, "lengths must be integers"),
        (lambda m: m.scan(XS, lengths="abc"), TypeError, "lengths must be integers, got dtype <U3"),
        (lambda m: m.scan(XS, lengths=7), ValueError, r"lengths must have .* \(2, 3\), .* \(\)"),
        (lambda m: m.scan(XS, lengths=LENGTHS + 1), ValueError, r"lie in \[0, 24\], got 25"),
        (lambda m: m.scan(XS, lengths=LENGTHS - 1), ValueError, r"lie in \[0, 24\], got -1"),
        (lambda m: m.masked_reset(np.ones(3)), TypeError, "mask must be boolean"),
        (lambda m: m.masked_reset("abc"), TypeError, "mask must be boolean, got dtype <U3"),
        (lambda m: m.masked_reset(np.ones(2, bool)), ValueError, r"mask of shape \(2,\) does not"),
    ],
)
def test_invalid_masks_and_lengths_are_refused(call, error, message):
    module = make("dense", dtype="float32")
    with pytest.raises(error, match=message):
        call(module)
    with pytest.raises(RuntimeError, match="has no kernel before it is built"):
        LinearSynapses(units=1).masked_reset(True)

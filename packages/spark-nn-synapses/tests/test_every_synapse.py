"""Facts that hold for every class, layout and dtype, written once."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.nn.components.synapses import CurrentArray, FloatArray, InputSpec, SpikeArray

from .comparing import AS_STEPS, CLOSE, by_steps
from .kinds import (
    DOUBLE,
    DOUBLE_EULER,
    LINEAR,
    TRACED,
    TRACED_EULER,
    every_kind,
    every_layout,
    every_sharing,
    every_traced_kind,
    exact,
    laid_out,
    normal,
    one_of_each_sharing,
    pairs,
    spikes,
)

KERNEL = normal(0, (3, 5))
XS = spikes(1, (40, 5))


@every_sharing
def test_scan_and_steps_are_those_of_numpy_in_every_layout(kind, layout):
    arguments, _ = laid_out(kind, layout)
    expected = kind.currents(KERNEL, XS, **arguments)
    scanned, stepped = (kind.make(KERNEL, **arguments) for _ in range(2))
    found = scanned.scan(XS, "sequential")
    assert isinstance(found, CurrentArray)
    np.testing.assert_allclose(found, expected, **CLOSE)
    np.testing.assert_allclose(by_steps(stepped, XS), expected, **CLOSE)
    for one, two in zip(kind.state(stepped), kind.state(scanned), strict=True):
        np.testing.assert_allclose(one, two, **AS_STEPS)


@pytest.mark.parametrize("kind", [TRACED_EULER, DOUBLE_EULER], ids=lambda kind: kind.name)
def test_euler_is_that_of_numpy(kind):
    arguments, _ = laid_out(kind, "two-values")
    found = kind.make(KERNEL, **arguments).scan(XS)
    np.testing.assert_allclose(found, kind.currents(KERNEL, XS, **arguments), **CLOSE)


@every_layout
@every_traced_kind
def test_the_state_is_as_small_as_the_parameters_allow(kind, layout):
    arguments, several = laid_out(kind, layout)
    module = kind.make(KERNEL, **arguments)
    module.build({"spikes": InputSpec((5,))})
    assert [trace.size for trace in kind.state(module)] == [3 * several] * len(kind.traces)


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_shape_rate_and_layout_is_that_of_numpy(data):
    kind = data.draw(st.sampled_from([TRACED, DOUBLE]))
    sizes = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)
    units, inputs = data.draw(sizes), data.draw(sizes)
    seed = data.draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    arguments = {}
    for name in kind.arguments:
        options = [(), units]
        if not name.startswith("base"):
            options += [
                units + (1,) * len(inputs),
                (1,) * len(units) + inputs,
                units + inputs,
                (*units[:-1], 1, *inputs[:-1], 1),
            ]
        shape = data.draw(st.sampled_from(options))
        arguments[name] = rng.integers(2, 5, shape).astype(float)
    kernel = rng.normal(size=units + inputs).astype(np.float32)
    xs = rng.random((12, *inputs)) < data.draw(st.sampled_from([0.1, 1.0]))
    found = kind.make(kernel, units, **arguments).scan(xs)
    expected = kind.currents(kernel, xs, len(units), **arguments)
    assert found.shape == (12, *units)
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6 * scale)


UNITS, INPUTS = (2, 3), (4, 2)
WIDE_KERNEL = normal(2, UNITS + INPUTS)


# The axes are put together before a way is taken.
@pairs(("kind", "way"), (LINEAR, "events"), (TRACED, "auto"), (DOUBLE, "events"))
def test_targets_and_inputs_of_several_axes(kind, way):
    xs = spikes(3, (20, *INPUTS))
    module = kind.make(WIDE_KERNEL, UNITS, projection=way)
    expected = kind.currents(WIDE_KERNEL, xs, 2)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)
    np.testing.assert_array_equal(module.kernel, WIDE_KERNEL)
    module.reset()
    found = module(xs[0])
    assert found.shape == UNITS
    np.testing.assert_allclose(found, expected[0], **CLOSE)


@every_kind
def test_linear_drive_is_einsum(kind):
    # The reference above sums synapse by synapse; NumPy's own contraction agrees with it.
    xs = spikes(3, (20, *INPUTS))
    drive = np.einsum("abij,tij->tab", WIDE_KERNEL.astype(np.float64), xs)
    np.testing.assert_allclose(LINEAR.currents(WIDE_KERNEL, xs, 2), drive, atol=1e-12)
    np.testing.assert_allclose(
        kind.currents(WIDE_KERNEL, xs, 2),
        kind.currents(np.eye(6).reshape(*UNITS, *UNITS), drive, 2),
        atol=1e-12,
    )


@one_of_each_sharing
def test_asynchronous_spikes(kind, layout):
    arguments, _ = laid_out(kind, layout)
    xs = spikes(4, (20, 3, 5))
    module = kind.make(KERNEL, async_spikes=True, **arguments)
    expected = kind.currents(KERNEL, xs, async_spikes=True, **arguments)
    np.testing.assert_allclose(module.scan(SpikeArray(xs, async_spikes=True)), expected, **CLOSE)
    module.reset()
    np.testing.assert_allclose(by_steps(module, xs[:6]), expected[:6], **CLOSE)


@pairs(("kind", "way"), (LINEAR, "events"), (TRACED, "auto"), (DOUBLE, "events"))
def test_an_inhibitory_spike_counts_as_its_negative(kind, way):
    mask = np.array([True, False, False, True, False])
    found = kind.make(KERNEL, projection=way).scan(SpikeArray(XS, mask))
    expected = kind.currents(KERNEL, XS * np.where(mask, -1, 1))
    np.testing.assert_allclose(found, expected, **CLOSE)


@pairs(("kind", "way"), (LINEAR, "auto"), (TRACED, "events"), (DOUBLE, "auto"))
def test_graded_spikes(kind, way):
    xs = (normal(5, XS.shape) * XS).astype(np.float32)
    found = kind.make(KERNEL, projection=way).scan(xs)
    np.testing.assert_allclose(found, kind.currents(KERNEL, xs), **CLOSE)


# With a kernel that adds up without rounding, the order of its sums does not matter. Traces of
# targets and groups are scanned in one way, those of synapses in another.
@pairs(
    ("kind", "layout"),
    (LINEAR, "scalar"),
    (TRACED, "two-values"),
    (TRACED, "per-synapse"),
    (DOUBLE, "scalar"),
)
def test_steps_and_scans_go_on_from_one_another_bit_for_bit(kind, layout):
    kernel, (arguments, _) = exact(6, (3, 5)), laid_out(kind, layout)
    stepped, both = (kind.make(kernel, dtype="float16", **arguments) for _ in range(2))
    expected = by_steps(stepped, XS[:28])
    found = [both.scan(XS[:12], "sequential").value, by_steps(both, XS[12:16])]
    found.append(both.scan(XS[16:28], "sequential").value)
    assert found[0].dtype == np.float16
    np.testing.assert_array_equal(np.concatenate(found), expected)
    for one, two in zip(kind.state(stepped), kind.state(both), strict=True):
        np.testing.assert_array_equal(one, two)


@every_kind
def test_a_kernel_that_changes_between_steps(kind):
    later = normal(7, (3, 5))
    module = kind.make(KERNEL)
    first = by_steps(module, XS[:15])
    module.kernel = later
    second = by_steps(module, XS[15:28])
    module.kernel = FloatArray(-KERNEL)
    third = np.asarray(module.scan(XS[28:]))
    kernels = np.stack([KERNEL] * 15 + [later] * 13 + [-KERNEL] * 12)
    expected = kind.currents(kernels, XS)
    np.testing.assert_allclose(np.concatenate([first, second, third]), expected, **CLOSE)


@every_traced_kind
def test_layouts_agree_while_the_kernel_changes(kind):
    # One time constant, told as a scalar and once for each synapse but for the last digits.
    tau = {name: kind.arguments[name] for name in kind.arguments if name.startswith("tau")}
    apart = {
        name: value * (1 + 1e-9 * np.arange(15.0).reshape(3, 5)) for name, value in tau.items()
    }
    shared, each = kind.make(KERNEL), kind.make(KERNEL, **apart)
    np.testing.assert_allclose(shared.scan(XS), each.scan(XS), **CLOSE)
    for module in (shared, each):
        module.kernel = -2 * KERNEL
    np.testing.assert_allclose(shared.scan(XS), each.scan(XS), **CLOSE)
    assert kind.state(each)[0].size == 5 * kind.state(shared)[0].size


@one_of_each_sharing
def test_batch_axes_are_separate_modules(kind, layout):
    arguments, _ = laid_out(kind, layout)
    xs = spikes(8, (12, 2, 5))
    mask = np.array([True, False, False, False, True])
    together = kind.make(KERNEL, **arguments)
    together.build({"spikes": InputSpec((5,), batch=(2,))})
    signed = np.where(mask, -1, 1) * xs
    alone = [kind.currents(KERNEL, signed[:, i], **arguments) for i in range(2)]
    expected = np.stack(alone, axis=1)
    np.testing.assert_allclose(together.scan(SpikeArray(xs, mask)), expected, **CLOSE)
    together.reset()
    np.testing.assert_allclose(by_steps(together, signed), expected, **CLOSE)


@pairs(("kind", "way"), (TRACED, "auto"), (DOUBLE, "events"))
def test_a_nan_in_the_row_of_a_silent_input_reaches_no_target(kind, way):
    silent = XS.copy()
    silent[:, 2] = False
    module, clean = kind.make(KERNEL, projection=way), kind.make(KERNEL, projection=way)
    for each in (module, clean):
        each.build({"spikes": InputSpec((5,))})
    kernel = KERNEL.copy()
    kernel[:, 2] = np.nan
    module.weights.set_value(jnp.asarray(kernel.T))
    np.testing.assert_allclose(module.scan(silent), clean.scan(silent), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(module(silent[0]), clean(silent[0]), rtol=1e-6, atol=1e-6)


@every_kind
def test_reset_restores_rest_and_keeps_the_kernel(kind):
    module = kind.make(KERNEL)
    expected = np.asarray(module.scan(XS))
    module.reset()
    np.testing.assert_array_equal(module.kernel, KERNEL)
    np.testing.assert_array_equal(module.scan(XS), expected)
    module.reset()
    rest = kind.arguments.get("base", kind.arguments.get("base_2", 0.0))
    np.testing.assert_array_equal(module(np.zeros(5, bool)), np.full(3, rest, np.float32))


# Each class and each layout in both dtypes.
@pairs(
    ("kind", "layout", "dtype"),
    (TRACED, "two-values", "float16"),
    (TRACED, "per-synapse", "float16"),
    (TRACED, "per-target", "bfloat16"),
    (DOUBLE, "per-target", "float16"),
    (DOUBLE, "two-values", "bfloat16"),
    (DOUBLE, "per-synapse", "bfloat16"),
)
def test_rest_stays_at_rest(kind, layout, dtype):
    arguments, _ = laid_out(kind, layout)
    # 0.3 is no value of any of the dtypes.
    name = "base" if kind is TRACED else "base_2"
    module = kind.make(KERNEL, dtype=dtype, **{**arguments, name: 0.3})
    found = module.scan(np.zeros((12, 5), bool))
    np.testing.assert_array_equal(found, np.full((12, 3), jnp.asarray(0.3, dtype)))

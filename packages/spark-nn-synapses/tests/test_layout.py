"""How many traces a synapse keeps, and where its parameters go."""

import numpy as np
import pytest

from spark.core.tracers import DoubleExponential, Exponential
from spark.nn.components.synapses._layout import lay_out

UNITS, INPUTS = (2, 3), (4, 5)
KERNEL = UNITS + INPUTS
PER_INPUT = np.where(np.arange(20).reshape(INPUTS) % 3 == 0, 2.0, 10.0)


def of(tau, scale=1.0, base=0.0, trainable=()):
    return lay_out(
        Exponential, {"tau": tau, "scale": scale, "base": base}, UNITS, INPUTS, trainable
    )


def rng(shape):
    return np.random.default_rng(0).uniform(1, 9, shape)


@pytest.mark.parametrize("shape", [(), UNITS, (2, 3, 1, 1), (1, 3, 1, 1), (1, 1, 1, 1)], ids=str)
def test_time_constants_alike_over_inputs_share_a_trace(shape):
    tau = rng(shape)
    layout = of(tau)
    assert (layout.sharing, layout.lead, layout.groups) == ("target", (), None)
    assert (layout.gains, layout.base) == ((), None)
    np.testing.assert_array_equal(
        np.broadcast_to(layout.tracer["tau"], UNITS),
        np.broadcast_to(tau if tau.ndim < 4 else tau[..., 0, 0], UNITS),
    )


def test_inputs_with_one_value_after_all_share_a_trace():
    layout = of(np.full((1, 1, *INPUTS), 5.0))
    assert (layout.sharing, layout.lead, layout.groups) == ("target", (), None)
    np.testing.assert_array_equal(np.broadcast_to(layout.tracer["tau"], UNITS), 5.0)


@pytest.mark.parametrize("front", [(1, 1), (1, 3), UNITS], ids=str)
def test_as_many_groups_as_inputs_have_values(front):
    tau = rng(front)[..., None, None] * PER_INPUT
    layout = of(tau)
    assert (layout.sharing, layout.lead) == ("group", (2,))
    assert layout.groups.shape == (20,)
    # Each input finds its own time constants in its group.
    found = np.broadcast_to(layout.tracer["tau"], (2, *UNITS))[layout.groups]
    wanted = np.moveaxis(np.broadcast_to(tau, KERNEL), (0, 1), (-2, -1)).reshape(20, *UNITS)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("order", [(10.0, 2.0, 5.0), (5.0, 10.0, 2.0)], ids=str)
def test_groups_are_in_ascending_order_of_their_time_constants(order):
    tau = np.resize(order, INPUTS)
    layout = of(tau[None, None])
    np.testing.assert_array_equal(layout.tracer["tau"].reshape(-1), [2.0, 5.0, 10.0])
    np.testing.assert_array_equal(layout.groups, np.searchsorted([2.0, 5.0, 10.0], tau.reshape(-1)))


def test_inputs_that_all_differ_keep_their_order():
    tau = 20.0 - np.arange(20).reshape(INPUTS)
    layout = of(tau[None, None])
    assert (layout.sharing, layout.lead) == ("synapse", INPUTS)
    np.testing.assert_array_equal(layout.tracer["tau"].reshape(INPUTS), tau)
    # Along rows of connections they are groups, in ascending order as any.
    along = lay_out(
        Exponential, {"tau": tau[None, None], "base": 0.0}, UNITS, INPUTS, along_rows=True
    )
    np.testing.assert_array_equal(along.tracer["tau"].reshape(-1), np.sort(tau.reshape(-1)))


def test_groups_with_several_numbers_are_ordered_by_the_first_that_differs():
    second = np.where(np.arange(20).reshape(INPUTS) < 10, 7.0, 3.0)
    layout = lay_out(
        DoubleExponential,
        {"tau_1": PER_INPUT[None, None], "tau_2": second[None, None], "base_2": 0.0},
        UNITS,
        INPUTS,
    )
    np.testing.assert_array_equal(layout.tracer["tau_1"].reshape(-1), [2.0, 2.0, 10.0, 10.0])
    np.testing.assert_array_equal(layout.tracer["tau_2"].reshape(-1), [3.0, 7.0, 3.0, 7.0])


def test_values_of_several_time_constants_make_groups_together():
    second = np.where(np.arange(20).reshape(INPUTS) < 10, 3.0, 7.0)
    layout = lay_out(
        DoubleExponential,
        {"tau_1": PER_INPUT[None, None], "tau_2": second[None, None], "base_1": 1.0, "base_2": 2.0},
        UNITS,
        INPUTS,
    )
    assert layout.lead == (4,)
    for name, values in (("tau_1", PER_INPUT), ("tau_2", second)):
        np.testing.assert_array_equal(
            layout.tracer[name].reshape(4)[layout.groups], values.reshape(-1)
        )
    assert layout.base == "base_2"
    # That of stage 1 does not show in stage 2, and stays where it is.
    assert (layout.tracer["base_1"], layout.tracer["base_2"]) == (1.0, 0.0)


def test_only_time_constants_of_each_synapse_ask_for_a_trace_per_synapse():
    tau = rng(KERNEL)
    layout = of(tau, base=0.5)
    assert (layout.sharing, layout.lead, layout.groups) == ("synapse", INPUTS, None)
    np.testing.assert_array_equal(layout.tracer["tau"], np.moveaxis(tau, (0, 1), (-2, -1)))
    # Several traces of one target: their base is added to their sum.
    assert (layout.base, layout.kept["base"], layout.tracer["base"]) == ("base", 0.5, 0.0)


@pytest.mark.parametrize("axis", [2, 3])
def test_values_along_one_axis_of_the_inputs_are_groups(axis):
    shape = [1, 1, 1, 1]
    shape[axis] = KERNEL[axis]
    layout = of(rng(shape))
    assert (layout.sharing, layout.lead) == ("group", (KERNEL[axis],))


def test_a_trained_time_constant_is_not_grouped_by_value():
    layout = of(PER_INPUT[None, None], trainable=("tau",))
    assert (layout.sharing, layout.lead) == ("synapse", INPUTS)
    assert layout.tracer["tau"].shape == (*INPUTS, 1, 1)
    # Where it does not vary over inputs, training it asks for no more.
    assert of(rng(UNITS), trainable=("tau",)).sharing == "target"
    assert of(PER_INPUT[None, None], trainable=("scale",)).sharing == "group"


def test_scales_that_vary_over_inputs_go_with_the_drive():
    scale = rng((1, 1, *INPUTS))
    layout = of(5.0, scale)
    assert (layout.sharing, layout.gains, layout.tracer["scale"]) == ("target", ("scale",), 1.0)
    np.testing.assert_array_equal(layout.kept["scale"], scale.reshape(20, 1))
    full = rng(KERNEL)
    found = of(5.0, full).kept["scale"]
    assert found.shape == (20, 6)
    np.testing.assert_array_equal(found[1 * 5 + 2], full[:, :, 1, 2].reshape(-1))


@pytest.mark.parametrize("shape", [(), UNITS, (2, 1, 1, 1)], ids=str)
def test_scales_alike_over_inputs_stay_in_the_tracer(shape):
    scale = rng(shape)
    layout = of(5.0, scale)
    assert (layout.gains, layout.kept) == ((), {})
    np.testing.assert_array_equal(np.ravel(layout.tracer["scale"]), np.ravel(scale))


@pytest.mark.parametrize("inputs", [(0,), (3, 0)], ids=str)
def test_no_inputs_have_no_traces_of_their_own(inputs):
    shape = (1,) * len(UNITS) + inputs
    layout = lay_out(
        Exponential, {"tau": np.ones(shape), "scale": np.ones(shape)} | {"base": 1.0}, UNITS, inputs
    )
    assert layout.lead == inputs
    assert layout.kept["scale"].shape == (0, 1)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tau", (3,)),
        ("tau", INPUTS),
        ("tau", (3, *INPUTS)),
        ("tau", (2, 3, 4, 6)),
        ("scale", (2, 3, 4)),
        ("scale", (1, *KERNEL)),
        ("base", (1, 1, 1, 1)),
        ("base", KERNEL),
        ("base", (1, 3)),
    ],
)
def test_ambiguous_shapes_are_refused(name, shape):
    with pytest.raises(
        ValueError, match=rf"{name} must be a scalar or of shape \(2, 3\)"
    ) as caught:
        of(**{"tau": 5.0} | {name: np.ones(shape)})
    assert str(shape) in str(caught.value)
    assert ("broadcastable to the kernel" in str(caught.value)) == (name != "base")

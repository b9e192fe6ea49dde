"""`TracedSynapses`, `DoubleTracedSynapses`: the response to a spike, and the tracer inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers import DoubleTracer, Tracer
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    DoubleTracedSynapsesConfig,
    InputSpec,
    LinearSynapses,
    LinearSynapsesConfig,
    TracedSynapses,
    TracedSynapsesConfig,
)

from .kinds import every_sharing, every_traced_kind, laid_out, normal, spikes

KERNEL = normal(0, (3, 5))
SPIKE = np.zeros((12, 1), bool)
SPIKE[0] = True
T = np.arange(12.0)


def response(cls, **kwargs):
    kernel = np.full((1, 1), 4.0)
    return np.asarray(
        cls(units=1, kernel_initializer=kernel, dtype="float32", **kwargs).scan(SPIKE)
    )


def test_a_spike_leaves_an_exponential():
    found = response(TracedSynapses, tau=3.0, scale=0.5, base=1.0)[:, 0]
    np.testing.assert_allclose(found, 1 + 2 * np.exp(-T / 3), rtol=1e-6)


def test_a_spike_leaves_a_dual_exponential():
    found = response(DoubleTracedSynapses, tau_1=2.0, tau_2=6.0, scale_1=0.5, scale_2=3.0)[:, 0]
    expected = 6 * (np.exp(-T / 2) - np.exp(-T / 6)) / (1 / 6 - 1 / 2)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_a_spike_leaves_an_alpha_function_where_time_constants_are_equal():
    found = response(DoubleTracedSynapses, tau_1=4.0, tau_2=4.0)[:, 0]
    np.testing.assert_allclose(found, 4 * T * np.exp(-T / 4), rtol=2e-6)


def test_fast_and_slow_inputs_of_one_target():
    # As AMPA and GABA: 2 ms and 8 ms.
    kernel, tau = np.array([[3.0, -1.0]]), np.array([[2.0, 8.0]])
    synapses = TracedSynapses(units=1, kernel_initializer=kernel, tau=tau, dtype="float32")
    both = np.zeros((12, 2), bool)
    both[0] = True
    found = np.asarray(synapses.scan(both))[:, 0]
    np.testing.assert_allclose(found, 3 * np.exp(-T / 2) - np.exp(-T / 8), atol=1e-6)
    assert synapses.current_tracer.shape == (2, 1)


def test_classes_descend_as_their_paths_say():
    assert issubclass(TracedSynapses, LinearSynapses)
    assert issubclass(DoubleTracedSynapses, LinearSynapses)
    assert issubclass(TracedSynapsesConfig, LinearSynapsesConfig)
    assert issubclass(DoubleTracedSynapsesConfig, LinearSynapsesConfig)


def test_defaults():
    config = TracedSynapsesConfig(units=2)
    assert (config.tau, config.scale, config.base) == (5.0, 1.0, 0.0)
    assert (config.dt, config.dtype, config.async_spikes, config.seed) == (
        1.0,
        "float16",
        False,
        None,
    )
    assert (config.integrator, config.rounding, config.trainable) == ("exact", "stochastic", ())
    double = DoubleTracedSynapsesConfig(units=2)
    stages = [(double.tau_1, double.scale_1, double.base_1)]
    stages += [(double.tau_2, double.scale_2, double.base_2)]
    assert stages == [(5.0, 1.0, 0.0)] * 2


def test_the_tracer_has_the_options_of_the_config():
    synapses = TracedSynapses(
        units=2, tau=7.0, integrator="euler", rounding="nearest", dt=0.5, dtype="bfloat16"
    )
    synapses.build({"spikes": InputSpec((5,), batch=(4,))})
    tracer = synapses.current_tracer
    assert type(tracer) is Tracer
    assert (tracer.shape, tracer.dt, tracer.dtype) == ((4, 2), 0.5, jnp.bfloat16)
    assert (tracer.recurrence.integrator, tracer.rounding) == ("euler", "nearest")
    assert float(tracer.decay) == pytest.approx(1 - 0.5 / 7)
    double = DoubleTracedSynapses(units=2)
    double(np.ones(3, bool))
    assert type(double.current_tracer) is DoubleTracer


@every_traced_kind
def test_the_current_is_the_value_of_the_tracer(kind):
    synapses = kind.make(KERNEL, dtype="float16")
    for x in spikes(1, (4, 5)):
        currents = synapses(x)
        np.testing.assert_array_equal(currents, synapses.current_tracer.value)
    assert int(synapses.current_tracer.rng.count[...]) == 4


@every_traced_kind
def test_rounding_draws_from_the_seed(kind):
    xs = spikes(2, (60, 5))
    runs = [
        np.asarray(kind.make(KERNEL, dtype="float16", **options).scan(xs))
        for options in (
            {"seed": 1},
            {"seed": 1},
            {"seed": 2},
            {"rngs": nnx.Rngs(params=0, rounding=3)},
            {"rngs": nnx.Rngs(params=1, rounding=3)},
            {"rngs": nnx.Rngs(params=0, rounding=4)},
        )
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.any(runs[0] != runs[2])
    # The kernel is given: the stream `params` has no part in the result.
    np.testing.assert_array_equal(runs[3], runs[4])
    assert np.any(runs[3] != runs[5])


@every_sharing
def test_trained_parameters_are_params_wherever_they_are_kept(kind, layout):
    arguments, _ = laid_out(kind, layout)
    names = tuple(kind.arguments)
    synapses = kind.make(KERNEL, **arguments, **({"trainable": names} if names else {}))
    synapses.build({"spikes": InputSpec((5,))})
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(synapses, nnx.Param)))
    found = {path[-1].key for path, _ in leaves}
    # The base of several traces, added to their sum, is kept as such.
    found = {names[-1] if name == "base" else name for name in found}
    assert found == {"weights", *names}


def test_a_trained_time_constant_of_each_input_has_traces_of_its_own():
    tau = np.array([[4.0, 9.0, 4.0, 4.0, 9.0]])
    synapses = TracedSynapses(units=3, tau=tau, trainable="tau")
    synapses.build({"spikes": InputSpec((5,))})
    assert isinstance(synapses.current_tracer.tau, nnx.Param)
    assert synapses.current_tracer.tau.shape == (5, 1)
    assert synapses.current_tracer.shape == (5, 3)


@every_traced_kind
def test_a_changed_time_constant_is_used_at_the_next_call(kind):
    xs = spikes(3, (20, 5))
    name, *_ = kind.arguments
    changed, meant = kind.make(KERNEL), kind.make(KERNEL, **{name: 2.0})
    changed.build({"spikes": InputSpec((5,))})
    getattr(changed.current_tracer, name)[...] = jnp.float32(2.0)
    np.testing.assert_array_equal(changed.scan(xs), meant.scan(xs))


def test_a_model_of_autumn_2025_needs_its_scales_divided_by_tau():
    # The steps of that time, written out: scale / tau, and Euler's method.
    xs, tau = spikes(4, (200, 5)), 5.0
    one, two, then = np.zeros(3), np.zeros(3), []
    for drive in np.asarray(xs) @ np.float64(KERNEL).T:
        one = one + (drive - one) / tau
        two = two + (one - two) / tau
        then.append((one, two))
    of_one, of_two = np.moveaxis(np.array(then), 1, 0)

    def currents(cls, **scales):
        settings = {"units": 3, "kernel_initializer": KERNEL, "dtype": "float32"}
        return np.asarray(cls(**settings, integrator="euler", **scales).scan(xs))

    # float32 keeps 6e-8 of each of some 2 tau steps that a trace remembers
    divided = currents(TracedSynapses, scale=1 / tau)
    np.testing.assert_allclose(divided, of_one, rtol=0, atol=2e-6)
    divided = currents(DoubleTracedSynapses, scale_1=1 / tau, scale_2=1 / tau)
    np.testing.assert_allclose(divided, of_two, rtol=0, atol=2e-6)
    # As it was named there, at the default time constants: 5 and 25 times as large.
    np.testing.assert_allclose(currents(TracedSynapses), 5 * of_one, rtol=0, atol=1e-5)
    np.testing.assert_allclose(currents(DoubleTracedSynapses), 25 * of_two, rtol=0, atol=5e-5)

"""Synapses as graphs of NIR, against the equations of the graph, solved on their own."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    TracedSynapses,
)
from spark.nn.interchange import from_nir, to_nir

from .kinds import normal, spikes

nir = pytest.importorskip("nir")

KERNEL = normal(0, (3, 5))
SPIKES = spikes(1, (30, 5))
PER_TARGET = np.array([4.0, 7.0, 9.0])
MADE = [
    (TracedSynapses, {"tau": 7.0, "scale": 0.5, "base": 0.25}),
    (TracedSynapses, {"tau": PER_TARGET, "scale": PER_TARGET / 8, "base": PER_TARGET}),
    # Of equal time constants.
    (DoubleTracedSynapses, {}),
    (DoubleTracedSynapses, {"tau_1": 3.0, "tau_2": 8.0, "scale_1": 0.5, "scale_2": 0.25}),
    (DoubleTracedSynapses, {"tau_1": PER_TARGET, "base_1": 0.5, "base_2": PER_TARGET}),
]
every_made = pytest.mark.parametrize(("kind", "arguments"), MADE)


def make(kind, arguments, kernel=KERNEL, **options):
    options = {"dtype": "float32", **options}
    synapses = kind(units=kernel.shape[:1], kernel_initializer=kernel, **arguments, **options)
    synapses.build({"spikes": InputSpec(kernel.shape[1:])})
    return synapses


def integrators(count, seed=2):
    """So many leaky integrators for 3 targets, with time in seconds."""
    draw = np.random.default_rng(seed).uniform
    return [
        nir.LI(tau=draw(0.002, 0.02, 3), r=draw(0.5, 2, 3), v_leak=draw(-1, 1, 3))
        for _ in range(count)
    ]


def settled(integrators, bias):
    """Values at which nothing moves."""
    values = []
    for each in integrators:
        bias = each.v_leak + each.r * bias
        values.append(bias)
    return np.array(values)


def solve(graph, spikes, dt, start=None):
    """The last value of a graph `Linear, LI, ...` after each step of `dt` seconds, in float64."""
    _, linear, *chain, _ = (graph.nodes[name] for name, _ in [*graph.edges, ("output", "")])
    bias = getattr(linear, "bias", np.zeros(3))
    values = settled(chain, bias) if start is None else np.array(start)
    tau, r, v_leak = (
        np.array([getattr(each, name) for each in chain]) for name in ("tau", "r", "v_leak")
    )

    def slope(_, flat):
        v = flat.reshape(tau.shape)
        return ((v_leak - v + r * np.array([bias, *v[:-1]])) / tau).ravel()

    found = []
    for now in spikes:
        solved = solve_ivp(slope, (0, dt), values.ravel(), "DOP853", rtol=1e-11, atol=1e-13)
        values = solved.y[:, -1].reshape(tau.shape)
        # The integral of the equation over a delta of area 1.
        values[0] += r[0] * (linear.weight.astype(float) @ now) / tau[0]
        found.append(values[-1])
    return np.array(found)


@every_made
def test_the_graph_says_what_synapses_compute(x64, kind, arguments):
    synapses = make(kind, arguments, dt=0.5, dtype="float64")
    expected = solve(to_nir(synapses), SPIKES, dt=0.0005)
    # 30 steps, each solved to 1e-11.
    np.testing.assert_allclose(synapses.scan(SPIKES).value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("count", "dt"), [(1, 0.25), (2, 1.0)])
def test_synapses_compute_what_a_graph_says(x64, count, dt):
    affine = nir.Affine(KERNEL, np.array([0.5, -1.0, 2.0]))
    graph = nir.NIRGraph.from_list(affine, *integrators(count))
    synapses = from_nir(graph, dt=dt, dtype="float64")
    expected = solve(graph, SPIKES, dt=dt / 1000)
    # As above.
    np.testing.assert_allclose(synapses.scan(SPIKES).value, expected, rtol=1e-9, atol=1e-9)


def test_a_constant_current_is_the_base_however_the_trace_starts(x64):
    (only,) = integrators(1)
    graph = nir.NIRGraph.from_list(nir.Affine(KERNEL, np.array([0.5, -1.0, 2.0])), only)
    synapses = from_nir(graph, dtype="float64")
    synapses.current_tracer.trace[...] = only.v_leak
    expected = solve(graph, SPIKES, dt=0.001, start=[only.v_leak])
    # As above.
    np.testing.assert_allclose(synapses.scan(SPIKES).value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("x", [SPIKES, SPIKES.astype(np.float32) / 2])
def test_a_linear_is_a_product(x):
    graph = nir.NIRGraph.from_list(nir.Affine(KERNEL, np.zeros(3)))
    synapses = from_nir(graph, dtype="float32")
    assert type(synapses) is LinearSynapses
    # Five products in float32.
    np.testing.assert_allclose(synapses.scan(x).value, x @ KERNEL.T, rtol=1e-5)


@pytest.mark.parametrize(("kind", "arguments"), [(LinearSynapses, {}), *MADE])
def test_a_file_holds_synapses_bit_for_bit(tmp_path, kind, arguments):
    written = make(kind, arguments)
    nir.write(tmp_path / "synapses.nir", to_nir(written))
    graph = nir.read(tmp_path / "synapses.nir")
    assert graph.metadata["dt"] == 0.001
    read = from_nir(graph, dtype="float32")
    assert type(read) is kind
    np.testing.assert_array_equal(read.kernel.value, written.kernel.value)
    np.testing.assert_array_equal(read.scan(SPIKES).value, written.scan(SPIKES).value)
    for name in arguments:
        assert np.shape(getattr(read.config, name)) == np.shape(arguments[name])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_written_without_loss(dtype):
    synapses = make(TracedSynapses, {}, dtype=dtype)
    weight = to_nir(synapses).nodes["linear"].weight
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, synapses.kernel.value.astype("float32"))


def test_the_present_values_are_written():
    synapses = make(TracedSynapses, {"tau": 4.0}, trainable=("tau",))
    synapses.current_tracer.tau[...] = 8.0
    synapses.kernel = 2 * KERNEL
    graph = to_nir(synapses)
    np.testing.assert_array_equal(graph.nodes["li"].tau, np.full(3, 0.008))
    np.testing.assert_array_equal(graph.nodes["linear"].weight, 2 * KERNEL)


def test_scales_over_inputs_go_with_the_weights():
    gains = np.array([[0.5, 1.0, 2.0, 0.25, 4.0]])
    synapses = make(TracedSynapses, {"scale": gains, "tau": 5.0})
    graph = to_nir(synapses)
    np.testing.assert_array_equal(graph.nodes["linear"].weight, gains * KERNEL)
    np.testing.assert_array_equal(graph.nodes["li"].r, np.full(3, 0.005))
    read = from_nir(graph, dtype="float32")
    # Sums of five products, in another order of factors.
    np.testing.assert_allclose(read.scan(SPIKES).value, synapses.scan(SPIKES).value, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "arguments", "second"),
    [(*MADE[0], 1.0), (*MADE[1], 1e6), (*MADE[3], 1e6), (*MADE[4], 1.0)],
)
def test_the_unit_of_time_is_free(kind, arguments, second):
    synapses = make(kind, arguments)
    read = from_nir(to_nir(synapses, second=second), second=second, dtype="float32")
    # Parameters are rounded to float32 once more.
    np.testing.assert_allclose(
        read.scan(SPIKES).value, synapses.scan(SPIKES).value, rtol=1e-5, atol=1e-6
    )


def test_a_graph_may_be_in_milliseconds():
    graph = to_nir(make(TracedSynapses, {"tau": 5.0, "scale": 2.0}), second=1.0)
    np.testing.assert_array_equal(graph.nodes["li"].tau, np.full(3, 5.0))
    np.testing.assert_array_equal(graph.nodes["li"].r, np.full(3, 10.0))


@pytest.mark.parametrize("count", [1, 2])
def test_a_simulator_of_euler_steps_is_met_number_for_number(x64, count):
    dt = 1e-4  # s; a spike is 1 for a step, and stage 2 sees stage 1 as it is after it
    chain = integrators(count)
    graph = nir.NIRGraph.from_list(nir.Linear(KERNEL), *chain)
    synapses = from_nir(graph, dt=0.1, area=dt, integrator="euler", dtype="float64")
    values, found = settled(chain, np.zeros(3)), []
    for now in SPIKES:
        driven = KERNEL.astype(float) @ now
        for stage, each in enumerate(chain):
            values[stage] += dt / each.tau * (each.v_leak - values[stage] + each.r * driven)
            driven = values[stage]
        found.append(values[-1].copy())
    # Rounding of 30 steps in float64.
    np.testing.assert_allclose(synapses.scan(SPIKES).value, found, rtol=1e-11, atol=1e-13)


def test_a_cuba_integrator_is_two_leaky_ones():
    first, second = integrators(2)
    first.v_leak = np.zeros(3)
    joined = nir.CubaLI(
        tau_syn=first.tau, w_in=first.r, tau_mem=second.tau, r=second.r, v_leak=second.v_leak
    )
    one, two = (
        from_nir(nir.NIRGraph.from_list(nir.Linear(KERNEL), *nodes), dtype="float32")
        for nodes in ([joined], [first, second])
    )
    assert type(one) is DoubleTracedSynapses
    assert one.config == two.config


def test_an_euler_trace_decays_as_an_exact_one_of_another_tau():
    euler = make(TracedSynapses, {"tau": 4.0}, integrator="euler")
    exact = make(TracedSynapses, {"tau": -1 / np.log(1 - 1 / 4.0)})
    # 30 steps in float32.
    np.testing.assert_allclose(
        exact.scan(SPIKES).value, euler.scan(SPIKES).value, rtol=1e-5, atol=1e-6
    )

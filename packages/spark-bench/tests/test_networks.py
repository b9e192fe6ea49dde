"""Networks: what they are made of, the steps of their neurons, and how their spikes are listed."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from spark.bench.networks import (
    NETWORKS,
    Block,
    Network,
    Neuron,
    Population,
    microcircuit,
    named,
    simulate,
)
from spark.bench.networks.external import Poisson, thresholds
from spark.bench.networks.neurons import NEURONS, Membrane
from spark.bench.networks.simulate import build
from spark.bench.networks.spikes import Spikes, events

NEURON = Neuron("iaf_psc_exp", 250.0, 10.0, -65.0, -50.0, -62.0, 2.0, 0.5, 5.0)
COND = Neuron("iaf_cond_exp", 200.0, 20.0, -60.0, -50.0, -60.0, 5.0, 5.0, 10.0, 0.0, -80.0)


def two(rule="fixed_indegree", number=5, **block):
    """Two populations, and one block between them."""
    kinds = (
        Population("a", 40, True, ("uniform", -65.0, -50.0), current=400.0),
        Population("b", 30, False, ("normal", -60.0, 3.0)),
    )
    blocks = (Block("a", "b", rule, number, **{"weight": 50.0, "delay": 1.0, **block}),)
    return Network("two", kinds, blocks, NEURON, 0.1, "none")


def test_the_microcircuit_has_the_published_numbers():
    full = microcircuit()
    assert full.size == 77_169
    assert full.connections == pytest.approx(298.9e6, rel=2e-4)
    assert len(full.blocks) == 55  # of 64, those whose probability is not 0
    weights = {(each.source, each.target): each.weight for each in full.blocks}
    assert weights["L6E", "L6E"] == pytest.approx(87.81, abs=0.005)  # pA, table 5
    assert weights["L6I", "L6E"] == -4 * weights["L6E", "L6E"]
    assert weights["L4E", "L2/3E"] == 2 * weights["L6E", "L6E"]
    assert all(each.current == 0 for each in full.populations)


def test_the_mean_and_variance_of_the_input_do_not_depend_on_scale():
    def moments(scale):
        network = microcircuit(scale)
        rates = dict(zip((each.name for each in network.populations), RATES, strict=True))
        mean, variance = [], []
        for target in network.populations:
            into = [block for block in network.blocks if block.target == target.name]
            inputs = [
                (each.weight, each.number / target.size * rates[each.source]) for each in into
            ]
            inputs.append((target.poisson_weight, target.poisson_rate))
            mean.append(target.current + 0.5 * sum(w * rate for w, rate in inputs))
            variance.append(sum(w**2 * rate for w, rate in inputs))
        return np.array([mean, variance])

    RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829]) / 1000
    # Numbers of neurons and connections are whole.
    np.testing.assert_allclose(moments(0.1), moments(1.0), rtol=2e-3)


def test_a_current_has_the_mean_of_the_external_spikes():
    poisson, current = microcircuit(), microcircuit(external="current")
    for spikes, held in zip(poisson.populations, current.populations, strict=True):
        assert held.poisson_rate == 0
        assert held.current == pytest.approx(0.5 * spikes.poisson_rate * spikes.poisson_weight)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": 2.0}, {"external": "none"}])
def test_wrong_arguments_of_the_microcircuit_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        microcircuit(**wrong)


@pytest.mark.parametrize(
    ("rule", "number", "expected"),
    [("fixed_indegree", 5, 150), ("fixed_total_number", 70, 70), ("pairwise_bernoulli", 0.5, 600)],
)
def test_a_block_connects_its_populations(rule, number, expected):
    network = two(rule, number, weight=-50.0, weight_std=30.0, delay=0.2, delay_std=0.2)
    synapses = build(network, 0, "float32", None)
    pre, post = map(np.asarray, synapses.connections)
    assert network.connections == expected
    assert len(pre) == pytest.approx(expected, abs=6 * np.sqrt(0.25 * expected / 0.5))
    assert pre.max() < 40 <= post.min()
    assert (np.asarray(synapses.kernel) <= 0).all()
    assert synapses.matrix.rows.steps > 3  # delays vary
    spikes = np.zeros(70, bool)
    assert not synapses(~spikes).value.any()  # no delay is below a step
    assert synapses(spikes).value.any()
    if rule == "fixed_indegree":
        assert set(np.bincount(post - 40)) == {5}


@pytest.mark.parametrize("mean", [0.01, 0.9, 2.32, 12.0])
def test_counts_are_poisson_distributed(mean):
    draws = Poisson([mean, 2 * mean], [700, 300], seed=1)
    counts = np.asarray(draws(jnp.arange(400, dtype=jnp.uint32)))
    for part, expected in ((counts[:, :700], mean), (counts[:, 700:], 2 * mean)):
        largest = int(stats.poisson.isf(50 / part.size, expected))
        law = stats.poisson.pmf(np.arange(largest + 1), expected)
        law[-1] = stats.poisson.sf(largest - 1, expected)
        seen = np.bincount(np.minimum(part, largest).reshape(-1), minlength=largest + 1)
        # A correct program falls below this p-value once in a million runs.
        assert stats.chisquare(seen, law * part.size).pvalue > 1e-6


def test_counts_of_other_steps_and_neurons_are_independent():
    counts = np.asarray(Poisson([2.0], [1000], seed=1)(jnp.arange(1000, dtype=jnp.uint32))) - 2.0
    for pair in ((counts[1:], counts[:-1]), (counts[:, 1:], counts[:, :-1])):
        correlation = (pair[0] * pair[1]).mean() / counts.var()
        assert abs(correlation) < 5e-3  # five standard deviations of 10^6 pairs
    # Sums over neurons and over time vary as Poisson counts do.
    for sums in (counts.sum(axis=0), counts.sum(axis=1)):
        assert sums.var() / 2000 == pytest.approx(1, abs=5 * np.sqrt(2 / 1000))


def test_thresholds_are_the_distribution_in_32_bits():
    table = thresholds(2.0)
    np.testing.assert_allclose(
        table / 2.0**32, stats.poisson.cdf(np.arange(len(table)), 2.0), rtol=0, atol=2.0**-33
    )
    assert stats.poisson.sf(len(table), 2.0) < 2.0**-32


def test_a_mean_that_a_byte_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="at most 40"):
        Poisson([41.0], [1], 0)


@pytest.mark.parametrize("shape", [(8, 16), (5, 7), (1, 3), (4, 0)])
def test_events_are_the_true_entries(shape):
    raster = np.random.default_rng(0).random(shape) < 0.2
    for found, expected in zip(events(raster), np.nonzero(raster), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_spikes_of_a_population_are_counted_from_its_first_neuron():
    spikes = Spikes(np.array([3, 5, 9]), np.array([0, 4, 6]), 10, 8, 0.5)
    found = spikes.of(range(4, 8), after=2.0)
    assert (found.step.tolist(), found.neuron.tolist()) == ([1, 5], [0, 2])
    assert (found.steps, found.neurons, len(found)) == (6, 4, 2)
    assert spikes.times.tolist() == [2.0, 3.0, 5.0]


@pytest.mark.parametrize(("model", "order"), [("iaf_psc_exp", None), ("iaf_cond_exp", 2)])
def test_a_step_solves_the_equation_of_the_membrane(model, order, x64):
    neuron = NEURON if model == "iaf_psc_exp" else COND
    start, tau = np.array([30.0, 20.0]), np.array([neuron.tau_syn_ex, neuron.tau_syn_in])

    def equation(t, v):
        g = start * np.exp(-t / tau)
        if model == "iaf_psc_exp":
            drive = g.sum()
        else:
            drive = g[0] * (neuron.E_ex - v) + g[1] * (neuron.E_in - v)
        return -(v - neuron.E_L) / neuron.tau_m + (drive + 100.0) / neuron.C_m

    def error(steps):
        dt = 2.0 / steps
        step = NEURONS[model](neuron, tau, np.array([100.0]), dt, "float64").step
        state = Membrane(jnp.zeros(1), jnp.zeros(1, int))
        for n in range(steps):
            g = start * np.exp(-n * dt / tau)
            state, _ = step(state, jnp.asarray(g)[:, None])
        return abs(float(state.v[0]) + neuron.E_L - exact)

    exact = solve_ivp(equation, (0, 2), [neuron.E_L], rtol=1e-12, atol=1e-12).y[0, -1]
    if order is None:
        assert error(4) < 1e-10  # that of the solver
    else:
        ratio = error(20) / error(40)
        assert np.log2(ratio) == pytest.approx(order, abs=0.1)


def test_a_run_gives_spikes_and_what_it_cost():
    stages = []
    run = simulate(two(), 0.05, on_progress=lambda stage, part: stages.append((stage, part)))
    assert len(run.spikes) > 40
    assert run.spikes.step.max() < run.spikes.steps == 500
    assert (np.diff(run.spikes.step) >= 0).all()
    assert run.connections == 150
    pre, _ = build(two(), 0, "float32", None).connections
    sent = np.bincount(pre, minlength=70)
    assert run.events == sent[run.spikes.neuron].sum()
    assert run.v.shape == (70,)
    assert stages[0] == ("build", 0.0)
    assert stages[-1] == ("run", 1.0)


def test_a_run_depends_on_its_seed_alone():
    first, again, other = (simulate(two(), 0.02, seed=seed).spikes for seed in (1, 1, 2))
    assert first.step.tolist() == again.step.tolist()
    assert first.neuron.tolist() == again.neuron.tolist()
    assert first.step.tolist() != other.step.tolist()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_found_by_its_name(name):
    network = named(name, scale=0.05)
    assert network.name == name
    assert network.size == sum(map(len, network.ranges.values()))
    # Excitatory populations excite, also where weights are conductances.
    excitatory = {each.name: each.excitatory for each in network.populations}
    assert all((each.weight > 0) == excitatory[each.source] for each in network.blocks)


def test_brunels_external_spikes_alone_hold_the_potential_at_their_part_of_the_threshold():
    for name, part in (("brunel-AI", 2.0), ("brunel-SI-slow", 0.9)):
        for scale in (1.0, 0.1):
            network = named(name, scale)
            for each in network.populations:
                mean = each.poisson_rate * each.poisson_weight * network.neuron.tau_m
                assert mean == pytest.approx(part * network.neuron.V_th)


def test_a_balanced_network_keeps_its_connections_when_it_is_smaller():
    for name in ("cuba", "coba"):
        full, small = named(name), named(name, 0.1)
        assert full.size == 4000
        assert full.connections / full.size == small.connections / small.size == 80


@pytest.mark.parametrize("name", ["microcircuit", "brunel-AI", "cuba"])
def test_a_scale_that_leaves_nothing_is_refused(name):
    with pytest.raises(ValueError, match=r"scale .*1e-05"):
        named(name, scale=1e-5)

"""In a loop of synapses and neurons `delays=d` is the delay d of NEST and Brian2."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.nn.components.synapses import InputSpec, SparseConnectivity, TracedSynapses

REFERENCE = json.loads((Path(__file__).parent / "references" / "delays.json").read_text())
DT, NEURON = REFERENCE["dt"], REFERENCE["neuron"]
SIGNS = {"tau_syn_ex": 1, "tau_syn_in": -1}


def synapses_of(network, sign, tau, stored, late):
    """Those of one sign, with a delay of each connection."""
    pre, post, weights, delays = map(np.asarray, network["connections"].values())
    of_sign = sign * weights > 0
    pre, post, weights = pre[of_sign], post[of_sign], weights[of_sign]
    delays = delays[of_sign] + late * DT
    neurons = len(network["I_e"])
    if stored:
        connectivity = SparseConnectivity(pre=pre, post=post, weights=weights, delays=delays)
        what = {"connectivity": connectivity}
    else:
        kernel, of_kernel = np.zeros((2, neurons, neurons))
        kernel[post, pre], of_kernel[post, pre] = weights, delays
        what = {"kernel_initializer": kernel, "delays": of_kernel}
    synapses = TracedSynapses(units=neurons, tau=tau, dt=DT, dtype="float64", **what)
    synapses.build({"spikes": InputSpec((neurons,))})
    return synapses


def simulation(network, stored=False, late=0):
    """A function of the steps that a potential is held after a spike.

    It returns potentials after each step, currents at its start, and its spikes. Delays are some
    steps more than those given.
    """
    tau_m, C_m, E_L = NEURON["tau_m"], NEURON["C_m"], NEURON["E_L"]
    R, left = tau_m / C_m, np.exp(-DT / tau_m)
    taus = np.array([[NEURON[name]] for name in SIGNS])
    k = R * taus / (taus - tau_m) * (np.exp(-DT / taus) - left)
    rest = E_L + (1 - left) * R * np.asarray(network["I_e"])

    def neuron(v, refractory, currents, held):
        free = rest + (v - E_L) * left + (k * currents).sum(axis=0)
        v = jnp.where(refractory > 0, v, free)
        spikes = v >= NEURON["V_th"]
        refractory = jnp.where(spikes, held, jnp.maximum(refractory - 1, 0))
        return jnp.where(spikes, NEURON["V_reset"], v), refractory, spikes

    both = tuple(
        synapses_of(network, sign, NEURON[name], stored, late) for name, sign in SIGNS.items()
    )
    graph, state = nnx.split(both)
    v = jnp.asarray(network["V_0"])
    start = v, jnp.zeros(v.shape, int), jnp.zeros(v.shape, bool), state

    @jax.jit
    def run(held):
        def step(carry, _):
            v, refractory, spikes, state = carry
            both = nnx.merge(graph, state)
            currents = jnp.stack([synapses(spikes).value for synapses in both])
            v, refractory, spikes = neuron(v, refractory, currents, held)
            return (v, refractory, spikes, nnx.state(both)), (v, currents, spikes)

        return lax.scan(step, start, length=REFERENCE["steps"])[1]

    return lambda held: map(np.asarray, run(held))


# The two simulators differ by the steps that a potential is held.
@pytest.mark.parametrize(
    ("name", "stored"),
    [("chain", False), ("network", False), ("network", True)],
    ids=["chain", "network", "stored network"],
)
def test_delays_are_those_of_the_simulators(name, stored, x64):
    network = REFERENCE["networks"][name]
    simulate = simulation(network, stored)
    for simulator, settings in REFERENCE["simulators"].items():
        v, currents, raster = simulate(settings["steps_held"])
        expected, observed = network[simulator], network["observed"]
        step, neuron = np.nonzero(raster)
        assert (step + 1).tolist() == expected["spikes"]["step"], simulator
        assert neuron.tolist() == expected["spikes"]["neuron"], simulator
        # The step that ends at n dt has index n - 1; that of index n starts there.
        at = np.asarray(network["at"])
        found = {"V_m": v[at - 1], "I_syn_ex": currents[at, 0], "I_syn_in": currents[at, 1]}
        for what, values in found.items():
            np.testing.assert_allclose(
                values[:, observed].T, expected[what], rtol=1e-12, err_msg=f"{what} of {simulator}"
            )


@pytest.mark.parametrize("late", [-1, 1])
def test_a_delay_of_one_step_less_or_more_is_another(late, x64):
    network = REFERENCE["networks"]["chain"]
    simulate = simulation(network, late=late)
    for simulator, settings in REFERENCE["simulators"].items():
        v, _, _ = simulate(settings["steps_held"])
        found = v[np.asarray(network["at"]) - 1][:, network["observed"]].T
        assert np.abs(found - network[simulator]["V_m"]).max() > 0.01

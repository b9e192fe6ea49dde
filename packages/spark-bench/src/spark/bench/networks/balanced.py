"""CUBA and COBA: the balanced networks of Vogels and Abbott (2005) that simulators are compared by.

References:
    Vogels and Abbott (2005), Journal of Neuroscience 25:10786-10795.
    Brette et al. (2007), Journal of Computational Neuroscience 23:349-398, benchmarks 1 and 2.
"""

from __future__ import annotations

import dataclasses

from .network import Block, Network, Neuron, Population

CUBA = Neuron(
    "iaf_psc_exp",
    # With C_m = tau_m a current of 1 pA holds the potential 1 mV higher.
    C_m=20.0,
    tau_m=20.0,
    E_L=-49.0,
    V_th=-50.0,
    V_reset=-60.0,
    t_ref=5.0,
    tau_syn_ex=5.0,
    tau_syn_in=10.0,
)

COBA = Neuron(
    "iaf_cond_exp",
    C_m=200.0,
    tau_m=20.0,
    E_L=-60.0,
    V_th=-50.0,
    V_reset=-60.0,
    t_ref=5.0,
    tau_syn_ex=5.0,
    tau_syn_in=10.0,
    E_ex=0.0,
    E_in=-80.0,
)

KICK = ((40.0, 15.0), (200.0, 200.0))
"""Initial conductances of COBA, nS: means as in the example of Brian2. With the standard deviations
of that example, 15 and 120, and potentials of -65 +- 5 mV, a quarter of the seeds falls silent
within 30 ms, in every simulator. From inhibitory conductances that vary more, and potentials near
the inhibitory reversal potential, neurons reach the threshold one by one."""


def cuba(scale: float = 1.0, dt: float = 0.1) -> Network:
    """Synapses are currents: 3 200 excitatory and 800 inhibitory neurons at full scale.

    Args:
        scale: Part of the neurons; each receives as many connections on average.
        dt: Time step, ms.

    Raises:
        ValueError: If `scale` is too small for as many connections, or above 1.
    """
    return _balanced("cuba", CUBA, {"E": 1.62, "I": -9.0}, scale, dt)


def coba(scale: float = 1.0, dt: float = 0.1) -> Network:
    """Synapses are conductances. They start high: from rest the network would stay silent.

    Args:
        scale: As there.
        dt: Time step, ms.

    Raises:
        ValueError: As there.
    """
    made = _balanced("coba", COBA, {"E": 6.0, "I": -67.0}, scale, dt)
    start = ("normal", COBA.E_in, 5.0)
    populations = tuple(dataclasses.replace(each, start=start) for each in made.populations)
    return dataclasses.replace(made, populations=populations, conductances=KICK)


def _balanced(
    name: str, neuron: Neuron, weights: dict[str, float], scale: float, dt: float
) -> Network:
    if not 0.02 <= scale <= 1:
        raise ValueError(f"scale of {name} must be 0.02 at least and at most 1, got {scale}.")
    start = ("uniform", neuron.V_reset, neuron.V_th)
    populations = (
        Population("E", round(3200 * scale), True, start),
        Population("I", round(800 * scale), False, start),
    )
    # A step is the shortest delay that every simulator has.
    blocks = tuple(
        Block(source, target, "pairwise_bernoulli", 0.02 / scale, weights[source], delay=dt)
        for source in weights
        for target in weights
    )
    reference = "Vogels and Abbott (2005), Journal of Neuroscience 25:10786-10795"
    return Network(name, populations, blocks, neuron, dt, reference)

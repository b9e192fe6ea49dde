"""The cortical microcircuit of Potjans and Diesmann (2014), at any scale.

Below full scale it has fewer neurons, and each receives fewer connections, of larger weight, so
that the variance of its input stays; a current makes up for the mean (van Albada et al. 2015).

References:
    Potjans and Diesmann (2014), Cerebral Cortex 24:785-806, tables 4 and 5.
    van Albada, Helias and Diesmann (2015), PLoS Computational Biology 11:e1004490.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from .network import Block, Network, Neuron, Population

External: TypeAlias = Literal["poisson", "current"]
"""External input: spikes that are drawn, or their mean as a current."""

NAMES = ("L2/3E", "L2/3I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
"""External connections of a neuron of each population."""

EXTERNAL_RATE = 0.008
"""Spikes per ms of each external connection."""

PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
"""That two neurons are connected at least once; targets x sources."""

RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])
"""Spikes per second of a neuron of each population at full scale, as NEST's example gives them."""

POTENTIAL = 0.15
"""Peak of the potential after an excitatory spike, mV."""

STRENGTH = -4.0
"""Weight of inhibition over that of excitation."""

NEURON = Neuron(
    "iaf_psc_exp",
    C_m=250.0,
    tau_m=10.0,
    E_L=-65.0,
    V_th=-50.0,
    V_reset=-65.0,
    t_ref=2.0,
    tau_syn_ex=0.5,
    tau_syn_in=0.5,
)

START = (
    (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43),
    (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48),
)
"""Mean and standard deviation of the initial potentials of each population, mV: those of the
running network, so that it starts without a burst."""


def microcircuit(scale: float = 1.0, external: External = "poisson", dt: float = 0.1) -> Network:
    """The network.

    Args:
        scale: Part of the neurons, and of the connections that each receives.
        external: Whether external spikes are drawn, or their mean is a constant current.
        dt: Time step, ms.

    Raises:
        ValueError: If `scale` is not above 0 and at most 1, or `external` is neither.
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale of the microcircuit must be above 0 and at most 1, got {scale}.")
    if external not in ("poisson", "current"):
        raise ValueError(f"external must be 'poisson' or 'current', got {external!r}.")
    excitatory = np.arange(8) % 2 == 0
    weight = POTENTIAL * _current_of_potential()
    weights = np.tile(np.where(excitatory, weight, STRENGTH * weight), (8, 1))
    weights[0, 2] *= 2  # from L4E to L2/3E
    pairs = np.outer(SIZES, SIZES)
    in_degrees = np.log(1 - PROBABILITIES) / np.log(1 - 1 / pairs) / SIZES[:, None]
    sizes = np.round(SIZES * scale).astype(int)
    numbers = np.round(in_degrees * scale * sizes[:, None]).astype(int)

    lost = 1 - np.sqrt(scale)
    poisson = external == "poisson"
    # 1/ms x pA x ms: the mean of a current is the charge of a spike times their rate.
    from_outside = weight * EXTERNAL * EXTERNAL_RATE * NEURON.tau_syn_ex
    from_network = (weights * in_degrees) @ (RATES / 1000) * NEURON.tau_syn_ex
    currents = lost * from_network + (lost if poisson else 1.0) * from_outside

    stronger = 1 / np.sqrt(scale)
    populations = tuple(
        Population(
            name,
            int(sizes[i]),
            bool(excitatory[i]),
            ("normal", START[0][i], START[1][i]),
            poisson_rate=float(EXTERNAL[i] * scale * EXTERNAL_RATE) if poisson else 0.0,
            poisson_weight=float(weight * stronger),
            current=float(currents[i]),
        )
        for i, name in enumerate(NAMES)
    )
    blocks = tuple(
        Block(
            NAMES[source],
            NAMES[target],
            "fixed_total_number",
            int(numbers[target, source]),
            weight=float(weights[target, source] * stronger),
            weight_std=float(abs(weights[target, source]) * stronger * 0.1),
            delay=1.5 if excitatory[source] else 0.75,
            delay_std=0.75 if excitatory[source] else 0.375,
        )
        for target in range(8)
        for source in range(8)
        if numbers[target, source]
    )
    source = "Potjans and Diesmann (2014), Cerebral Cortex 24:785-806"
    return Network("microcircuit", populations, blocks, NEURON, dt, source)


def _current_of_potential() -> float:
    """The weight, pA, of a spike whose potential peaks at 1 mV."""
    tau_m, tau_s = NEURON.tau_m, NEURON.tau_syn_ex
    a, b = tau_m / (tau_s - tau_m), tau_s / (tau_s - tau_m)
    ratio = tau_m / tau_s
    return float(NEURON.C_m / (tau_s * a * (ratio**a - ratio**b)))

"""The sparsely connected network of excitatory and inhibitory neurons of Brunel (2000).

References:
    Brunel (2000), Journal of Computational Neuroscience 8:183-208, model A.
"""

from __future__ import annotations

from .network import Block, Network, Neuron, Population

REGIMES = {"SR": (3.0, 2.0), "SI-fast": (6.0, 4.0), "AI": (5.0, 2.0), "SI-slow": (4.5, 0.9)}
"""Of figure 8: the strength of inhibition, and the external rate over that which just reaches the
threshold. Synchronous regular; synchronous irregular, fast; asynchronous irregular; synchronous
irregular, slow."""

PUBLISHED = {"SI-fast": 60.7, "AI": 37.7, "SI-slow": 5.5}
"""Spikes per second that figure 8 gives; neurons of the first regime spike almost all the time."""

NEURON = Neuron("iaf_psc_delta", C_m=250.0, tau_m=20.0, E_L=0.0, V_th=20.0, V_reset=10.0, t_ref=2.0)

JUMP = 0.1
"""Of the potential at an excitatory spike, mV, at full scale."""


def brunel(regime: str = "AI", scale: float = 1.0, dt: float = 0.1) -> Network:
    """The network: 10 000 excitatory and 2 500 inhibitory neurons at full scale.

    Below it there are fewer neurons with as many times fewer connections, of larger weights, so
    that the mean of the input stays; its variance grows.

    Args:
        regime: One of `REGIMES`.
        scale: Part of the neurons and of the connections that each receives.
        dt: Time step, ms.

    Raises:
        ValueError: If there is no such regime, or `scale` is not above 0 and at most 1.
    """
    if regime not in REGIMES:
        raise ValueError(f"regime must be one of {', '.join(REGIMES)}; got {regime!r}.")
    if not 0 < scale <= 1:
        raise ValueError(f"scale of brunel must be above 0 and at most 1, got {scale}.")
    strength, rate = REGIMES[regime]
    jump = JUMP / scale
    # Spikes per ms whose mean is the threshold, times how often that is asked for.
    external = rate * NEURON.V_th / (jump * NEURON.tau_m)
    kinds = [("E", 10_000, True), ("I", 2_500, False)]
    populations = tuple(
        Population(
            name,
            round(size * scale),
            excitatory,
            ("uniform", 0.0, NEURON.V_th),
            poisson_rate=external,
            poisson_weight=jump,
        )
        for name, size, excitatory in kinds
    )
    blocks = tuple(
        Block(
            source,
            target,
            "fixed_indegree",
            round(0.1 * size * scale),
            weight=jump if excitatory else -strength * jump,
            delay=1.5,
        )
        for source, size, excitatory in kinds
        for target, _, _ in kinds
    )
    source = "Brunel (2000), Journal of Computational Neuroscience 8:183-208"
    return Network(f"brunel-{regime}", populations, blocks, NEURON, dt, source)

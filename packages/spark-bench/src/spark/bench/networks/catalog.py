"""The networks by name, and what is published of them."""

from __future__ import annotations

import dataclasses

from .balanced import coba, cuba
from .brunel import PUBLISHED, REGIMES, brunel
from .microcircuit import NAMES, RATES, External, microcircuit
from .network import Network, Plasticity

NETWORKS = ("microcircuit", *(f"brunel-{regime}" for regime in REGIMES), "cuba", "coba")
"""Names that `named` takes."""


DEPRESSION = Plasticity(U=0.5, tau_rec=800.0, tau_fac=1.0)
"""Of pyramidal neurons in layer 5 (Tsodyks and Markram 1997); facilitation is shorter than the
refractory period."""


def named(
    name: str, scale: float = 1.0, external: External = "poisson", plasticity: bool = False
) -> Network:
    """A network by its name.

    Args:
        name: One of `NETWORKS`.
        scale: Part of its full size.
        external: `"poisson"`, or `"current"` for the microcircuit.
        plasticity: Whether connections depress, by `DEPRESSION`; a rested one has its weight.

    Raises:
        ValueError: If there is no such network, or it does not come so.
    """
    found = _named(name, scale, external)
    numbers: list[float] = [each.size for each in found.populations]
    numbers += [each.number for each in found.blocks if each.rule != "pairwise_bernoulli"]
    if not found.blocks or min(numbers) < 1:
        raise ValueError(
            f"scale must leave a neuron of each population, and connections; got {scale}: take a "
            "larger one."
        )
    return plastic(found) if plasticity else found


def plastic(network: Network) -> Network:
    """The network, with connections that depress.

    Args:
        network: Without; its synapses are currents or conductances.

    Raises:
        ValueError: If its spikes are jumps of the potential.
    """
    if network.neuron.model == "iaf_psc_delta":
        raise ValueError(
            f"plasticity is of currents and conductances; spikes of {network.name} are jumps."
        )
    rested = 1 / DEPRESSION.U
    blocks = tuple(
        dataclasses.replace(each, weight=each.weight * rested, weight_std=each.weight_std * rested)
        for each in network.blocks
    )
    return dataclasses.replace(network, blocks=blocks, plasticity=DEPRESSION)


def _named(name: str, scale: float, external: External) -> Network:
    if name == "microcircuit":
        return microcircuit(scale, external)
    if external != "poisson":
        raise ValueError(f"external is an option of the microcircuit alone, got {external!r}.")
    if name in ("cuba", "coba"):
        return {"cuba": cuba, "coba": coba}[name](scale)
    family, _, regime = name.partition("-")
    if family != "brunel" or regime not in REGIMES:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}.")
    return brunel(regime, scale)


def published(described: Network) -> dict[str, float]:
    """Published rates of populations at full scale, spikes per second, where there are any.

    Args:
        described: A network.
    """
    if described.plasticity is not None:
        return {}
    if described.name == "microcircuit":
        return dict(zip(NAMES, RATES.tolist(), strict=True))
    family, _, regime = described.name.partition("-")
    if family == "brunel" and regime in PUBLISHED:
        return {each.name: PUBLISHED[regime] for each in described.populations}
    return {}

"""The networks by name, and what is published of them."""

from __future__ import annotations

from .balanced import coba, cuba
from .brunel import PUBLISHED, REGIMES, brunel
from .microcircuit import NAMES, RATES, External, microcircuit
from .network import Network

NETWORKS = ("microcircuit", *(f"brunel-{regime}" for regime in REGIMES), "cuba", "coba")
"""Names that `named` takes."""


def named(name: str, scale: float = 1.0, external: External = "poisson") -> Network:
    """A network by its name.

    Args:
        name: One of `NETWORKS`.
        scale: Part of its full size.
        external: `"poisson"`, or `"current"` for the microcircuit.

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
    return found


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
    if described.name == "microcircuit":
        return dict(zip(NAMES, RATES.tolist(), strict=True))
    family, _, regime = described.name.partition("-")
    if family == "brunel" and regime in PUBLISHED:
        return {each.name: PUBLISHED[regime] for each in described.populations}
    return {}

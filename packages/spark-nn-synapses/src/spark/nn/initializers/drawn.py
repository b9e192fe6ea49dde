"""`Drawn`: a parameter that is drawn from a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import PlainValidator

from spark.core.internal import show

from ..configs import Config
from .distributions import Distribution, as_distribution

Owner = Literal["target", "input", "connection"]


def _as_distribution(value: Any) -> Distribution:
    found = as_distribution(value)
    if not isinstance(found, Distribution):
        raise ValueError(f"must be a distribution, got {show(value)}: a number needs no Drawn.")
    return found


class Drawn(Config):
    """A parameter of synapses whose values are drawn from a distribution when they are built.

    The values depend on the seed and on the name of the parameter: parameters are independent of
    each other, of the weights and of the connections, and the same on every mesh of devices.

    Attributes:
        distribution: `Uniform`, `Normal` or `LogNormal`; in the unit of the parameter.
        per: What has a value of its own: a `"target"`, an `"input"` or a `"connection"`.

    Example:
        >>> import numpy as np
        >>> from spark.nn.components.synapses import TracedSynapses
        >>> from spark.nn.initializers import Drawn, Normal
        >>> tau = Drawn(distribution=Normal(mean=5.0, std=0.5, low=1.0), per="target")
        >>> synapses = TracedSynapses(units=100, tau=tau)
        >>> synapses(np.ones(10, bool)).shape
        (100,)
        >>> synapses.current_tracer.tau.shape
        (100,)
    """

    distribution: Annotated[Distribution, PlainValidator(_as_distribution)]
    per: Owner


def as_drawn(value: Any) -> Drawn | None:
    """A `Drawn`, also as a dictionary that was read from a file; None for anything else.

    Raises:
        ValueError: If it is a distribution that does not say what it is drawn per.
    """
    if isinstance(value, Mapping) and "kind" in value:
        value = as_distribution(value)
    if isinstance(value, Distribution):
        raise ValueError(
            f"must say what has a value of its own, got {show(value)}: "
            f"Drawn(distribution={type(value).__name__}(...), per='target') gives one to each "
            "target."
        )
    if isinstance(value, Mapping):
        return Drawn(**value)
    return value if isinstance(value, Drawn) else None

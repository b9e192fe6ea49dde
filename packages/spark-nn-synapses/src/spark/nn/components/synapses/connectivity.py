"""What a user says of who reaches whom, and the rows that follow from it."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import PlainValidator, model_validator

from spark.nn.configs import Config
from spark.nn.configs.errors import show
from spark.nn.configs.fields import Count
from spark.nn.initializers import Distribution
from spark.nn.initializers.distributions import Distributed

from ._connect import Connections
from ._drawing.steps import step_limits
from ._projections.rows import LAWS, DrawnRows, Law
from .delays import as_steps, require_delays


class Connectivity(Config, abc.ABC):
    """Base class of the values of `connectivity`, other than `"dense"`."""

    lay_out_by_device: ClassVar[Any] = None
    """As `lay_out`, for some devices alone; None where all connections are laid out together."""

    @property
    def delayed(self) -> bool:
        """Whether connections have delays of their own."""
        return getattr(self, "delays", None) is not None

    @abc.abstractmethod
    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections between given numbers of inputs and targets.

        Args:
            inputs: Number of inputs.
            targets: Number of targets.
            key: JAX PRNG key, concrete, of what is drawn.

        Raises:
            ValueError: If they cannot be.
        """

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections for synapses: by default as `connect` does.

        Args:
            inputs: As in `connect`.
            targets: As in `connect`.
            key: As in `connect`.
            dt: Time step.
            dtype: Name of the dtype of the weights.

        Returns:
            The connections; their delays may be in the rows already.

        Raises:
            ValueError: As in `connect`.
        """
        return self.connect(inputs, targets, key)


class ProceduralConnectivity(Connectivity):
    """A fixed number of targets for each input, drawn again at each step and never stored.

    Targets are drawn with replacement: an input may reach one twice. The kernel holds the
    parameters of the law that weights are distributed by, which can be trained.

    Attributes:
        fan_out: Connections of an input.
        law: `"constant"`, of which the kernel is one value; `"uniform"`, of which it is low and
            high; or `"normal"`, of which it is mean and standard deviation. Without an initializer,
            1; 0 and 1; 0 and 1.
        delays: Delay of each connection, in the unit of the time step: a number, which is a whole
            multiple of it, or a distribution of numbers >= 0, drawn with the target and rounded to
            the nearest step, and half a step upwards. None is no delay.

    References:
        Knight and Nowotny (2021), Nature Computational Science 1:136-142.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import LinearSynapses, ProceduralConnectivity
        >>> connectivity = ProceduralConnectivity(fan_out=1000, law="constant")
        >>> synapses = LinearSynapses(units=100_000, connectivity=connectivity, dtype="float32")
        >>> currents = synapses(jnp.zeros(100_000, bool).at[42].set(True))  # of 10^8 synapses
        >>> float(currents.value.sum())
        1000.0
    """

    kind: Literal["procedural"] = "procedural"
    fan_out: Count
    law: Law = "uniform"
    delays: Distributed | None = None

    @model_validator(mode="after")
    def _require_delays(self) -> Self:
        require_delays(self.delays)
        return self

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections, with a time step of 1; see `Connectivity`."""
        return self.lay_out(inputs, targets, key, 1.0, "float32")

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        first, limits = 0, np.empty(0, np.uint32)
        if isinstance(self.delays, Distribution):
            first, limits = step_limits("delays of the connectivity", self.delays, dt)
        elif self.delays is not None:
            first = int(as_steps("delays of the connectivity", self.delays, dt))
        steps = first + len(limits) + 1
        if steps * targets >= 2**31:
            raise ValueError(
                f"steps of the longest delay times targets must be below 2^31, got {steps} x "
                f"{targets}."
            )
        size = 1 if self.law == "constant" else 2
        words = jax.random.key_data(key).reshape(-1)[-2:].astype(jnp.uint32)
        rows = DrawnRows(inputs, targets, size, self.fan_out, self.law, steps=steps)
        start = np.ones(1) if self.law == "constant" else np.array([0.0, 1.0])
        header = np.array([self.fan_out, LAWS.index(self.law), steps, first, 0], np.int32)
        sizes = jnp.asarray(np.concatenate([header, limits.view(np.int32)]))
        return Connections(rows, (words, sizes), start)


def as_connectivity(value: Any) -> Connectivity | Literal["dense"]:
    """`"dense"`, a `Connectivity`, or one as a dictionary that was read from a file."""
    if isinstance(value, Connectivity):
        return value
    if isinstance(value, str) and value == "dense":
        return "dense"
    known: dict[str, type[Connectivity]] = {}
    for each in _kinds(Connectivity):  # a class before those that are derived from it
        known.setdefault(each.model_fields["kind"].default, each)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in known:
        return known[kind](**value)
    names = ", ".join(each.__name__ for each in known.values())
    raise ValueError(f"must be 'dense' or one of {names}; got {show(value)}.")


def _kinds(base: Any) -> list[Any]:
    """The classes of connectivity that are not abstract."""
    every = [each for kind in base.__subclasses__() for each in _kinds(kind)]
    return every if inspect.isabstract(base) else [base, *every]


Connected = Annotated[Connectivity | Literal["dense"], PlainValidator(as_connectivity)]
"""A field for either."""

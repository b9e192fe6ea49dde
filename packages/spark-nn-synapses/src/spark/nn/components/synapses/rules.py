"""Rules that connections are drawn by: those of NEST, between all inputs and targets or parts."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Array

from spark.nn.configs.fields import Count, Flag, Probability

from ._connect import Connections
from ._drawing.assemble import Part, assemble
from ._drawing.counts import binomial, of_total
from ._drawing.lines import Ints, Lines, Span, sizes_of
from ._drawing.streams import COUNTS, child
from .connectivity import Connectivity


class Rule(Connectivity):
    """Base of the rules; one is a connectivity of its own, or the rule of a `Block`."""

    along: ClassVar[Literal["inputs", "targets"]] = "inputs"
    """Whether connections are drawn for each input or for each target."""

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        return self.lay_out(inputs, targets, key, 1.0, "float32")

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        part = Part(self, (0, inputs), (0, targets))
        return assemble([part], inputs, targets, key, dt, dtype)

    def draw(self, pre: Span, post: Span, key: int) -> Lines:
        """The lines of the connections between a part of the inputs and one of the targets.

        Args:
            pre: The first input and the one after the last.
            post: The first target and the one after the last.
            key: Seed of the block.

        Raises:
            ValueError: If the rule cannot be kept between these.
        """
        lines, partners = (pre, post) if self.along == "inputs" else (post, pre)
        autapses = getattr(self, "autapses", True)
        sizes = sizes_of(lines, partners, autapses)
        counts = self._counts(sizes, np.arange(*lines), child(key, COUNTS))
        distinct = not getattr(self, "multapses", False)
        return Lines(self.along, lines, partners, key, counts, distinct, autapses)

    @abc.abstractmethod
    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        """How many partners each line has, out of a number of candidates."""


class OneToOne(Rule):
    """Each input reaches the target with the same index.

    Example:
        >>> from spark.nn.components.synapses import InputSpec, LinearSynapses, OneToOne
        >>> synapses = LinearSynapses(units=3, connectivity=OneToOne())
        >>> synapses.build({"spikes": InputSpec((3,))})
        >>> [each.tolist() for each in synapses.connections]
        [[0, 1, 2], [0, 1, 2]]
    """

    kind: Literal["one_to_one"] = "one_to_one"

    def draw(self, pre: Span, post: Span, key: int) -> Lines:
        """The lines; see `Rule`."""
        if pre[1] - pre[0] != post[1] - post[0]:
            raise ValueError(
                "OneToOne must connect as many inputs as targets, got "
                f"{pre[1] - pre[0]} inputs and {post[1] - post[0]} targets."
            )
        return Lines("inputs", pre, post, key, np.ones(pre[1] - pre[0], np.int64), paired=True)

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        return np.ones_like(sizes)


class AllToAll(Rule):
    """Each input reaches each target; stored one by one.

    Attributes:
        autapses: Whether an input may reach the target of its own number.

    Example:
        >>> from spark.nn.components.synapses import AllToAll, InputSpec, LinearSynapses
        >>> synapses = LinearSynapses(units=3, connectivity=AllToAll(autapses=False))
        >>> synapses.build({"spikes": InputSpec((3,))})
        >>> [each.tolist() for each in synapses.connections]
        [[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]
    """

    kind: Literal["all_to_all"] = "all_to_all"
    autapses: Flag = True

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        return sizes


class RandomConnectivity(Rule):
    """Each input reaches each target with a probability, independently; stored.

    Attributes:
        probability: Of a connection, in (0, 1].
        autapses: Whether an input may reach the target of its own number.

    Example:
        >>> from spark.nn.components.synapses import LinearSynapses, RandomConnectivity, InputSpec
        >>> synapses = LinearSynapses(units=100, connectivity=RandomConnectivity(probability=0.1))
        >>> synapses.build({"spikes": InputSpec((100,))})
        >>> 900 < len(synapses.kernel) < 1100
        True
    """

    kind: Literal["random"] = "random"
    probability: Probability
    autapses: Flag = True

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        return binomial(key, lines, sizes, self.probability)


class FixedFanOut(Rule):
    """A fixed number of targets for each input, at random; stored.

    Attributes:
        fan_out: Connections of an input.
        autapses: Whether an input may reach the target of its own number.
        multapses: Whether an input may reach a target twice.

    Example:
        >>> from spark.nn.components.synapses import FixedFanOut, LinearSynapses, InputSpec
        >>> synapses = LinearSynapses(units=100, connectivity=FixedFanOut(fan_out=10))
        >>> synapses.build({"spikes": InputSpec((50,))})
        >>> synapses.kernel.shape
        (500,)
    """

    kind: Literal["fan_out"] = "fan_out"
    fan_out: Count
    autapses: Flag = True
    multapses: Flag = False

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        _require_room("fan_out", self.fan_out, sizes, "targets", self)
        return np.full(len(sizes), self.fan_out)


class FixedInDegree(Rule):
    """A fixed number of inputs for each target, at random; stored.

    Attributes:
        in_degree: Connections of a target.
        autapses: Whether an input may reach the target of its own number.
        multapses: Whether an input may reach a target twice.

    Example:
        >>> import numpy as np
        >>> from spark.nn.components.synapses import FixedInDegree, InputSpec, LinearSynapses
        >>> synapses = LinearSynapses(units=4, connectivity=FixedInDegree(in_degree=10))
        >>> synapses.build({"spikes": InputSpec((50,))})
        >>> np.bincount(synapses.connections[1]).tolist()
        [10, 10, 10, 10]
    """

    kind: Literal["in_degree"] = "in_degree"
    in_degree: Count
    autapses: Flag = True
    multapses: Flag = False
    along: ClassVar[Literal["inputs", "targets"]] = "targets"

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        _require_room("in_degree", self.in_degree, sizes, "inputs", self)
        return np.full(len(sizes), self.in_degree)


class FixedTotal(Rule):
    """A fixed number of connections, each from a random input to a random target; stored.

    Attributes:
        connections: How many.
        autapses: Whether an input may reach the target of its own number.
        multapses: Whether an input may reach a target twice.

    Example:
        >>> from spark.nn.components.synapses import FixedTotal, InputSpec, LinearSynapses
        >>> connectivity = FixedTotal(connections=1000, multapses=True)
        >>> synapses = LinearSynapses(units=40, connectivity=connectivity)
        >>> synapses.build({"spikes": InputSpec((50,))})
        >>> synapses.kernel.shape
        (1000,)
    """

    kind: Literal["total"] = "total"
    connections: Count
    autapses: Flag = True
    multapses: Flag = False

    def _counts(self, sizes: Ints, lines: Ints, key: int) -> Ints:
        pairs = int(sizes.sum())
        if self.connections > (pairs if not self.multapses else self.connections if pairs else 0):
            raise ValueError(
                f"connections must be at most {pairs}, the number of pairs of an input and a "
                f"target; got {self.connections}{_remedy(self, pairs)}"
            )
        return of_total(key, sizes, self.connections, not self.multapses)


def _require_room(name: str, count: int, sizes: Ints, partners: str, rule: Any) -> None:
    """Raise an error if lines need more partners than they could have."""
    least = int(sizes.min(initial=count))
    if least == 0 or (count > least and not rule.multapses):
        others = "" if rule.autapses else " but for that of the same number"
        raise ValueError(
            f"{name} must be at most {least}, the number of {partners}{others}; got "
            f"{count}{_remedy(rule, least)}"
        )


def _remedy(rule: Any, room: int) -> str:
    return ": multapses=True lets some come twice." if room and not rule.multapses else "."

"""What a network is, whichever simulator runs it: populations, blocks of connections, a neuron."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

Model: TypeAlias = Literal["iaf_psc_exp", "iaf_psc_delta", "iaf_cond_exp"]
"""Neurons, by NEST's names: exponential currents, jumps of the potential, conductances."""

Rule: TypeAlias = Literal["fixed_total_number", "fixed_indegree", "pairwise_bernoulli"]
"""How many connections a block has, by NEST's names. Pairs are drawn with replacement, but for the
last rule; a neuron may reach itself."""


@dataclasses.dataclass(frozen=True)
class Neuron:
    """A leaky integrate-and-fire neuron.

    Attributes:
        model: Which one.
        C_m: Capacitance, pF.
        tau_m: Time constant of the membrane, ms.
        E_L: Rest, mV.
        V_th: Threshold, mV.
        V_reset: Potential after a spike, mV.
        t_ref: How long it is held there, ms.
        tau_syn_ex: Time constant of excitatory currents or conductances, ms.
        tau_syn_in: Time constant of inhibitory ones, ms.
        E_ex: Excitatory reversal potential, mV; of conductances.
        E_in: Inhibitory reversal potential, mV; of conductances.
    """

    model: Model
    C_m: float
    tau_m: float
    E_L: float
    V_th: float
    V_reset: float
    t_ref: float
    tau_syn_ex: float = 0.0
    tau_syn_in: float = 0.0
    E_ex: float = 0.0
    E_in: float = 0.0


@dataclasses.dataclass(frozen=True)
class Population:
    """Neurons of a kind, and what drives them from outside.

    Attributes:
        name: Its name.
        size: Number of neurons.
        excitatory: Whether they excite.
        start: Law of the initial potentials, mV: `("normal", mean, standard deviation)` or
            `("uniform", low, high)`.
        poisson_rate: External spikes that a neuron receives, per ms; each neuron its own.
        poisson_weight: Weight of such a spike: pA, or mV where spikes are jumps of the potential.
        current: External current, pA.
    """

    name: str
    size: int
    excitatory: bool
    start: tuple[str, float, float]
    poisson_rate: float = 0.0
    poisson_weight: float = 0.0
    current: float = 0.0


@dataclasses.dataclass(frozen=True)
class Block:
    """Connections from one population to another.

    Attributes:
        source: Name of the population that sends.
        target: Name of the one that receives.
        rule: How many connections there are.
        number: In all, of each target, or the probability of a pair: as `rule` says.
        weight: Mean weight: pA, mV or nS, as the neuron takes it; negative of inhibition, also
            where it is a conductance.
        weight_std: Standard deviation of the normal law of weights, of one sign: one that has the
            other is drawn anew.
        delay: Mean delay, ms.
        delay_std: Standard deviation of the normal law of delays. A delay is drawn until it is at
            least half a time step, and rounded to the nearest step.
    """

    source: str
    target: str
    rule: Rule
    number: float
    weight: float
    weight_std: float = 0.0
    delay: float = 0.0
    delay_std: float = 0.0


@dataclasses.dataclass(frozen=True)
class Plasticity:
    """Short-term plasticity of all connections, by the names of NEST's `tsodyks2_synapse`.

    Attributes:
        U: Part of the resources that a rested connection releases, in (0, 1].
        tau_rec: Time constant of recovery, ms.
        tau_fac: Time constant of facilitation, ms.
    """

    U: float
    tau_rec: float
    tau_fac: float


@dataclasses.dataclass(frozen=True)
class Network:
    """A network, as data: the same for every simulator.

    Attributes:
        name: Its name.
        populations: In this order neurons are counted.
        blocks: Connections.
        neuron: Of every population.
        dt: Time step, ms.
        source: The publication.
        conductances: Mean and standard deviation, nS, of the initial excitatory conductances, and
            of the inhibitory ones: normal, and 0 where that is negative; None starts from 0.
        plasticity: Short-term plasticity of the connections, whose weights are then those of
            all resources; None keeps weights as they are.
    """

    name: str
    populations: tuple[Population, ...]
    blocks: tuple[Block, ...]
    neuron: Neuron
    dt: float
    source: str
    conductances: tuple[tuple[float, float], tuple[float, float]] | None = None
    plasticity: Plasticity | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return sum(each.size for each in self.populations)

    @property
    def ranges(self) -> dict[str, range]:
        """Neurons of each population."""
        found, start = {}, 0
        for each in self.populations:
            found[each.name] = range(start, start + each.size)
            start += each.size
        return found

    @property
    def connections(self) -> int:
        """Number of connections; the mean, where it is drawn."""
        return round(sum(self._connections(block) for block in self.blocks))

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary, for JSON."""
        return dataclasses.asdict(self)

    def _connections(self, block: Block) -> float:
        ranges = self.ranges
        if block.rule == "fixed_total_number":
            return block.number
        of_each = 1 if block.rule == "fixed_indegree" else len(ranges[block.source])
        return block.number * of_each * len(ranges[block.target])

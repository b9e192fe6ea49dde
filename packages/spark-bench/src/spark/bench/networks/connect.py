"""The connections of a network, as the synapses of Spark take them: by rules, in blocks."""

from __future__ import annotations

from spark.nn.components.synapses import (
    Block,
    BlockConnectivity,
    FixedInDegree,
    FixedTotal,
    Normal,
    RandomConnectivity,
)

from .network import Block as Described
from .network import Network


def connectivity(network: Network) -> BlockConnectivity:
    """The connections; nothing is drawn yet.

    Args:
        network: What is to be connected.
    """
    return BlockConnectivity(blocks=tuple(_block(each, network) for each in network.blocks))


def _block(block: Described, network: Network) -> Block:
    pre, post = (network.ranges[name] for name in (block.source, block.target))
    weight: float | Normal = block.weight
    if network.neuron.model == "iaf_cond_exp":
        weight = abs(block.weight)  # the time constant tells inhibition
    if block.weight_std:
        low, high = (0.0, None) if block.weight > 0 else (None, 0.0)
        weight = Normal(mean=block.weight, std=block.weight_std, low=low, high=high)
    # A current charges the potential from the step after its arrival on, a jump shifts it at once:
    # to arrive at the end of a step it has to be read a step earlier.
    earlier = network.dt if network.neuron.model == "iaf_psc_delta" else 0.0
    delay: float | Normal = block.delay - earlier
    if block.delay_std:
        low = max(network.dt / 2 - earlier, 0.0)
        delay = Normal(mean=block.delay - earlier, std=block.delay_std, low=low)
    return Block(
        rule=_rule(block),
        pre=(pre.start, pre.stop),
        post=(post.start, post.stop),
        weights=weight,
        delays=delay,
    )


def _rule(block: Described) -> RandomConnectivity | FixedInDegree | FixedTotal:
    if block.rule == "pairwise_bernoulli":
        return RandomConnectivity(probability=block.number)
    if block.rule == "fixed_indegree":
        return FixedInDegree(in_degree=int(block.number), multapses=True)
    return FixedTotal(connections=int(block.number), multapses=True)

"""Connections of a network, for the synapses of Spark."""

from __future__ import annotations

import math

import numpy as np

from spark.nn.components.synapses import SparseConnectivity

from .network import Block, Network


def connectivity(network: Network, seed: int) -> SparseConnectivity:
    """Draw the connections.

    Args:
        network: What is to be connected.
        seed: Seed of the draws.
    """
    draw = np.random.default_rng(seed)
    ranges = network.ranges
    parts = [
        _connect(block, ranges[block.source], ranges[block.target], network.dt, draw)
        for block in network.blocks
    ]
    pre, post, weights, delays = map(np.concatenate, zip(*parts, strict=True))
    if network.neuron.model == "iaf_cond_exp":
        weights = np.abs(weights)
    shape = network.size, network.size
    return SparseConnectivity(
        pre=pre, post=post, weights=weights, delays=network.dt * delays, shape=shape
    )


def _connect(
    block: Block, sources: range, targets: range, dt: float, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Input, target, weight and delay in steps of each connection of a block."""
    if block.rule == "pairwise_bernoulli":
        every = draw.random((len(sources), len(targets))) < block.number
        pre, post = np.nonzero(every)
    elif block.rule == "fixed_indegree":
        post = np.repeat(np.arange(len(targets)), int(block.number))
        pre = draw.integers(len(sources), size=len(post))
    else:
        pre = draw.integers(len(sources), size=int(block.number))
        post = draw.integers(len(targets), size=len(pre))
    sign = math.copysign(1.0, block.weight)
    weights = sign * _normal(abs(block.weight), block.weight_std, 0.0, len(pre), draw)
    delays = np.rint(_normal(block.delay, block.delay_std, dt / 2, len(pre), draw) / dt)
    return sources.start + pre, targets.start + post, weights, delays.astype(np.int32)


def _normal(
    mean: float, std: float, low: float, size: int, draw: np.random.Generator
) -> np.ndarray:
    """Normal draws; those below a bound are drawn anew."""
    if not std:
        return np.full(size, mean)
    found = draw.normal(mean, std, size)
    while len(below := np.flatnonzero(found < low)):
        found[below] = draw.normal(mean, std, len(below))
    return found

"""Graphs of NIR that are one row of nodes: weights, then leaky integrators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spark.nn.payloads.times import NumPyArray

from .extras import require

if TYPE_CHECKING:
    import nir

Stage: TypeAlias = tuple[NumPyArray, NumPyArray, NumPyArray]
"""One value per target each: `tau`, `r` and `v_leak` of an `LI`; `tau`, `scale`, `base` here."""


def read(graph: nir.NIRGraph) -> tuple[NumPyArray, NumPyArray, list[Stage]]:
    """Weights, bias and stages of a graph.

    Returns:
        Weights of shape (targets, inputs), the bias per target, and at most two stages in the order
        in which they drive each other.

    Raises:
        ModuleNotFoundError: If `nir` is not installed.
        TypeError: If it is no graph.
        ValueError: If there is something else in it, or in another order.
    """
    nir = require("nir", "from_nir")
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"graph must be a nir.NIRGraph, as of nir.read, got {graph!r}.")
    linear, *others = _row(nir, graph)
    bias: Any = 0.0
    match linear:
        case nir.Linear(weight=weight):
            pass
        case nir.Affine(weight=weight, bias=bias):
            pass
        case _:
            raise _refusal(f"{type(linear).__name__} first")
    weight = np.asarray(weight)
    if weight.ndim != 2:
        raise _refusal(f"weights of shape {weight.shape}, not (targets, inputs)")

    stages: list[Any] = []
    for node in others:
        match node:
            case nir.LI(tau=tau, r=r, v_leak=v_leak):
                stages.append((tau, r, v_leak))
            case nir.CubaLI(tau_syn=tau_syn, w_in=w_in, tau_mem=tau_mem, r=r, v_leak=v_leak):
                stages += [(tau_syn, w_in, 0.0), (tau_mem, r, v_leak)]
            case _:
                raise _refusal(f"{type(node).__name__} after it")
    if len(stages) > 2:
        raise _refusal(f"{len(stages)} leaky integrators")
    if not stages and np.any(bias):
        raise _refusal("a bias and no LI, a constant current that LinearSynapses do not have")

    def per_target(value: Any) -> NumPyArray:
        try:
            return np.broadcast_to(np.asarray(value, np.float64), weight.shape[:1])
        except ValueError:
            what = f"a parameter of shape {np.shape(value)} for {len(weight)} targets"
            raise _refusal(what) from None

    return (
        weight,
        per_target(bias),
        [(per_target(tau), per_target(r), per_target(v_leak)) for tau, r, v_leak in stages],
    )


def _row(nir: Any, graph: Any) -> list[Any]:
    """The nodes between input and output, in their order."""
    nodes, edges = graph.nodes, graph.edges
    after = dict(edges)
    names = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    while len(names) < len(nodes) and names and names[-1] in after:
        names.append(after[names[-1]])
    one_row = set(names) == set(nodes) and len(edges) == len(nodes) - 1
    if not (one_row and len(names) > 2 and isinstance(nodes[names[-1]], nir.Output)):
        drawn = ", ".join(f"{source} -> {target}" for source, target in edges)
        raise _refusal(f"nodes that are no row, {drawn or 'without an edge'}")
    return [nodes[name] for name in names[1:-1]]


def _refusal(found: str) -> ValueError:
    return ValueError(
        "from_nir reads a Linear or an Affine, and after it nothing, an LI, two of them or a "
        f"CubaLI; got {found}. Give it the part that is such a row, as "
        "nir.NIRGraph.from_list(linear, li)."
    )

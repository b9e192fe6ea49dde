"""Connections in rows of every shape, and the kernels with zeros that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from spark.nn.components.synapses._connect import stored_rows
from spark.nn.components.synapses._projections.row_sums import project_rows

from .kinds import normal, spikes


def graph(inputs, targets, lengths):
    """Rows of given lengths, whose targets may come twice; and the connections as arrays."""
    rng = np.random.default_rng(len(lengths))
    pre = np.repeat(np.arange(inputs), lengths)
    post = rng.integers(targets, size=len(pre))
    return (*stored_rows(pre, post, inputs, targets), pre, post)


GRAPHS = {
    "none": graph(4, 3, [0, 0, 0, 0]),
    "one": graph(4, 3, [0, 0, 1, 0]),
    "even": graph(40, 7, [3] * 40),
    # Empty rows first, last and between.
    "uneven": graph(40, 50, [0, 0, *range(17), 5, 0, 0, 16, *range(16), 0]),
    # One long row among short ones.
    "parts": graph(40, 50, [0, 0, *range(17), 5, 0, 0, 201, *range(15), 0, 7]),
    "long": graph(3, 3000, [2500, 0, 1]),
}


FLOAT32 = jnp.dtype("float32")
# One compiled program per graph, way, shape and dtype.
run = jax.jit(project_rows, static_argnames=("rows", "dtype", "way"))


def project(name, weights, spikes, way="events", dtype=FLOAT32):
    """Sums along the rows of a graph."""
    rows, adjacency, *_ = GRAPHS[name]
    return run(rows, adjacency, weights, spikes, dtype=dtype, way=way)


def weights_of(name, dtype="float32"):
    """Weights along the rows of a graph, and the same in float64."""
    drawn = np.random.default_rng(3).normal(size=len(GRAPHS[name][2]))
    stored = drawn.astype(jnp.dtype(dtype))
    return stored, stored.astype(np.float64)


def matrix(name, weights):
    """The kernel with zeros (inputs, targets) of a graph, by SciPy."""
    rows, _, pre, post = GRAPHS[name]
    return scipy.sparse.coo_array((weights, (pre, post)), (rows.inputs, rows.targets)).toarray()


def with_zeros(weights, targets, inputs, pre, post):
    """The dense kernel (targets, inputs) of connections, by SciPy."""
    weights = np.asarray(weights, np.float64)
    return scipy.sparse.coo_array((weights, (post, pre)), (targets, inputs)).toarray()


def graded(inputs, batch):
    """Signed spikes of a batch, silent ones with either sign."""
    xs = (normal(5, (*batch, inputs)) * spikes(6, (*batch, inputs))).astype(np.float32)
    xs[xs == 0] = -0.0
    xs[0, 0] = 0.0
    return xs

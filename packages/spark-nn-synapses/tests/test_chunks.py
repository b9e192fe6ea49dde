"""Scans in chunks of steps are scans of all steps at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import InputSpec, SparseConnectivity
from spark.nn.components.synapses._projections.base import Projection, even
from spark.nn.components.synapses._projections.grouped import Grouped

from .comparing import AS_STEPS
from .kinds import TRACED, exact, laid_out, normal, pairs, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (40, 5))


def in_chunks(module, elements):
    """The sequential scan of a built module, seven steps at a time, as a function of spikes."""
    changed = {"chunk_elements": 7 * elements}
    stages = []
    for stage in module.chain.stages:
        if isinstance(stage, Grouped):
            inner = dataclasses.replace(stage.projection, **changed)
            stage = dataclasses.replace(stage, projection=inner)
        elif isinstance(stage, Projection):
            stage = dataclasses.replace(stage, **changed)
        stages.append(stage)
    scan = dataclasses.replace(module.chain, stages=tuple(stages)).scan
    return functools.partial(scan, module.parameters, module.state, method="sequential")


ALONG_ROWS = {"connectivity": SparseConnectivity(pre=np.arange(8) % 5, post=np.arange(8) % 3)}
WEIGHTS = normal(4, 8)


# Chunks differ by what is carried from one to the next: traces, rounding, and drive on its way.
@pairs(
    ("features", "dtype"),
    ("groups", "float16"),
    ("delays", "float32"),
    ("rows", "float32"),
)
def test_a_scan_in_chunks_equals_one_at_once(features, dtype):
    kernel, arguments, elements = {
        # Spikes of two groups, and a kernel that adds up without rounding.
        "groups": (exact(6, (3, 5)), laid_out(TRACED, "two-values")[0], 2 * 5),
        "delays": (KERNEL, {"delays": np.arange(15).reshape(3, 5) % 4}, 3),
        "rows": (WEIGHTS, ALONG_ROWS, 3),
    }[features]
    whole, chunked = (TRACED.make(kernel, dtype=dtype, **arguments) for _ in range(2))
    chunked.build({"spikes": InputSpec((5,))})
    xs = jnp.asarray(XS[:37])  # a prime: five chunks, and two steps
    scan = jax.jit(in_chunks(chunked, elements)).trace(xs)
    assert "length=5" in str(scan.jaxpr).split()
    state, found = scan.lower().compile()(xs)
    # In half precision every step draws the same random numbers, or some are rounded differently.
    close = AS_STEPS if dtype == "float32" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(found, whole.scan(xs, "sequential").value, **close)
    np.testing.assert_allclose(state[1].traces[0], whole.current_tracer.trace[...], **close)
    assert int(state[1].noise.steps) == len(xs)


def test_gradients_go_through_chunks():
    module = TRACED.make(WEIGHTS, trainable=("tau", "scale"), **ALONG_ROWS)
    module.build({"spikes": InputSpec((5,))})
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(elements, params):
        scan = in_chunks(nnx.merge(graph, params, rest, copy=True), elements)
        return jnp.sum(jnp.sin(scan(jnp.asarray(XS[:37]))[1]))

    chunked, whole = (
        jax.jit(jax.grad(functools.partial(loss, elements)))(params) for elements in (3, 300)
    )
    for one, two in zip(*map(jax.tree.leaves, (chunked, whole)), strict=True):
        # Sums over 37 steps, in another order.
        np.testing.assert_allclose(one, two, rtol=40 * np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("time", "longest", "size"),
    [(40, 7, 5), (1000, 104, 100), (37, 3, 3), (38, 5, 5), (2 * 509, 509, 509)],
)
def test_chunks_are_of_one_length_unless_they_got_short(time, longest, size):
    assert even(time, longest) == size

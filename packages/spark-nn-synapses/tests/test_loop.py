"""Options for loops of small steps: what the compiled program does, and that it gives the same."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import InputSpec, TracedSynapses, loop_options

pytestmark = pytest.mark.versions

NEURONS = 3000
SPLIT = "outer_dimension_partitions"
"""How a compiled program says into how many parts an operation is split."""


def neurons(v, currents):
    currents = jax.lax.optimization_barrier(currents)
    v = 0.9 * v + currents * (1.0 - 0.1 * currents) + 0.3 * jnp.abs(v) * (2.0 - v)
    return jnp.where(v > 1.0, 0.0, v), v > 1.0


def loop():
    """A loop over the steps of a network, and its arguments."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(0.0, 0.1, (NEURONS, 50))
    synapses = TracedSynapses(
        units=NEURONS, tau=5.0, kernel_initializer=kernel, dtype="float32", dt=1.0
    )
    synapses.build({"spikes": InputSpec((50,))})
    graph, fixed, state = nnx.split(synapses, nnx.Param, ...)

    def run(fixed, state, spikes):
        def step(carry, spikes):
            state, v = carry
            synapses = nnx.merge(graph, fixed, state)
            v, out = neurons(v, synapses(spikes).value)
            return (nnx.state(synapses, nnx.Not(nnx.Param)), v), out

        return jax.lax.scan(step, (state, jnp.zeros(NEURONS)), spikes)[1]

    return run, (fixed, state, jnp.asarray(rng.random((40, 50)) < 0.2))


def compiled(options):
    run, arguments = loop()
    return jax.jit(run, compiler_options=options).lower(*arguments).compile(), arguments


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="options of a CPU")
def test_no_operation_is_split_and_barriers_are_kept():
    text = compiled(loop_options())[0].as_text()
    assert SPLIT not in text
    assert "opt-barrier(" in text


@pytest.mark.skipif(
    jax.default_backend() != "cpu" or os.cpu_count() == 1,
    reason="XLA has no threads to share operations among",
)
def test_without_them_xla_splits_operations_and_drops_barriers():
    # If this fails, XLA has changed, and the options may be of no use any more.
    text = compiled({})[0].as_text()
    assert SPLIT in text
    assert "opt-barrier(" not in text


def test_the_spikes_are_the_same():
    (with_options, arguments), (without, _) = compiled(loop_options()), compiled({})
    spikes = np.asarray(with_options(*arguments))
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(spikes, np.asarray(without(*arguments)))


def test_there_are_none_for_other_platforms():
    assert loop_options("gpu") == loop_options("tpu") == {}
    assert loop_options("cpu") != {}
    assert loop_options() == loop_options(jax.default_backend())


def test_an_unknown_platform_is_refused():
    with pytest.raises(ValueError, match="platform must be 'cpu', 'gpu' or 'tpu', got 'cuda'"):
        loop_options("cuda")

"""The page "A network, exactly": its network spikes as Brian2's listing beside it does."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.bench.networks.statistics import in_spread
from spark.nn.components.synapses import SparseConnectivity

from .references import cuba as reference

SOURCE = Path(__file__).parents[1] / "docs" / "examples" / "cuba.py"


@pytest.fixture(scope="module")
def cuba():
    """The listing of the page."""
    spec = importlib.util.spec_from_file_location("cuba", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spikes_from_the_same_connections_are_those_of_brian2(cuba, x64):
    pre, post, v = reference.network()
    excites = pre < reference.EXCITATORY
    listed = SparseConnectivity(
        pre=pre,
        post=post,
        weights=np.where(excites, cuba.excitation.weights, cuba.inhibition.weights),
        delays=np.where(excites, cuba.excitation.delays, cuba.inhibition.delays),
    )
    synapses = cuba.connect(listed, dtype="float64")
    raster = cuba.simulate(synapses, jnp.asarray(v), round(1000 * reference.SECONDS / cuba.DT))
    step, neuron = np.nonzero(np.asarray(raster))
    with np.load(reference.FILE) as recorded:
        assert len(recorded["step"]) > 5000
        np.testing.assert_array_equal(step, recorded["step"])
        np.testing.assert_array_equal(neuron, recorded["neuron"])


def test_statistics_lie_within_the_spread_of_ten_seeds_of_brian2(cuba):
    synapses = cuba.connect(cuba.CONNECTIONS, dtype="float32", seed=1)
    v = np.random.default_rng(1).uniform(cuba.RESET, cuba.THRESHOLD, cuba.N)
    with jax.numpy_dtype_promotion("standard"):
        raster = cuba.simulate(synapses, jnp.asarray(v, "float32"), reference.STEPS)
    found = reference.statistics_of(*np.nonzero(np.asarray(raster)))
    seeds = json.loads(reference.STATISTICS.read_text())["statistics"]
    for population, values in found.items():
        for name, value in values.items():
            others = [each[population][name] for each in seeds]
            # Six statistics: one of the same law is outside in one of a thousand runs.
            assert in_spread(value, others, 1e-3 / 6), (population, name)

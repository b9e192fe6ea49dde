"""What the page "Add your own" adds: a tracer, a projection, a connectivity and a peer."""

import contextlib
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.bench.conform.facts import facts
from spark.bench.conform.suite import check
from spark.bench.peers.peer import PeerProcess
from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import InputSpec, LinearSynapses, LinearSynapsesConfig

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SPIKES = np.random.default_rng(0).random((20, 4)) < 0.4
KERNEL = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def occupancy(xs, tau, fraction, dt=1.0):
    """Every value of the law, in float64."""
    y, every = np.zeros(xs.shape[1:]), []
    for x in xs:
        y = np.exp(-dt / tau) * y
        y = y + fraction * x * (1 - y)
        every.append(y)
    return np.stack(every)


def test_every_file_is_short():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60


@pytest.mark.parametrize("run", ["steps", "sequential", "parallel", "jump"])
def test_a_tracer_runs_every_way(run):
    tracer = example("own_tracer").OccupancyTracer(
        4, tau=5.0, fraction=0.3, dt=0.5, dtype="float32"
    )
    expected = occupancy(SPIKES, 5.0, 0.3, 0.5)
    if run == "jump":
        at, element = np.nonzero(SPIKES)
        found, expected = tracer.jump((at + 1) * 0.5, element, 10.0), expected[at, element]
    else:
        found = (
            np.stack([tracer(x) for x in SPIKES]) if run == "steps" else tracer.scan(SPIKES, run)
        )
    close = tolerance("jump" if run == "jump" else "parallel", "float32")
    np.testing.assert_allclose(found, expected, rtol=0, atol=close)


def test_a_tracer_is_differentiated_trained_checked_and_rounded():
    module = example("own_tracer")
    tracer = module.OccupancyTracer(4, tau=5.0, dtype="float32", trainable=("tau", "fraction"))
    gradient = nnx.grad(lambda tracer: tracer.scan(SPIKES).sum())(tracer)
    # Central differences of the law: third derivatives times the square of the step.
    taus, fractions = (
        [occupancy(SPIKES, *at).sum() for at in pair]
        for pair in ([(5.001, 0.5), (4.999, 0.5)], [(5.0, 0.501), (5.0, 0.499)])
    )
    np.testing.assert_allclose(gradient["tau"][...], (taus[0] - taus[1]) / 0.002, rtol=1e-4)
    expected = (fractions[0] - fractions[1]) / 0.002
    np.testing.assert_allclose(gradient["fraction"][...], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\], got 1.5"):
        module.OccupancyTracer(4, tau=5.0, fraction=1.5)
    half = module.OccupancyTracer(4, tau=5.0)
    assert half.scan(SPIKES).dtype == np.float16
    half.reset()
    np.testing.assert_array_equal(half.value, 0)


def normalized(kernel, xs):
    return xs @ kernel.T.astype(np.float64) / (1 + np.abs(xs).sum(-1, keepdims=True))


def test_a_projection_goes_with_delays_batches_groups_and_gradients():
    kind = example("own_projection").NormalizedSynapses
    options = {"kernel_initializer": KERNEL, "units": 3, "dtype": "float32"}
    close = {"rtol": 0, "atol": 4 * tolerance("currents", "float32")}

    # So short a trace is the drive itself.
    late = np.concatenate([np.zeros((2, 4)), SPIKES[:-2]])
    expected = normalized(KERNEL, late)
    found = kind(**options, tau=1e-3, delays=2.0).scan(SPIKES)
    np.testing.assert_allclose(found, expected, **close)

    batched = kind(**options, tau=1e-3)
    batched.build({"spikes": InputSpec((4,), batch=(5,))})
    xs = SPIKES.reshape(4, 5, 4)
    np.testing.assert_allclose(batched.scan(xs), normalized(KERNEL, xs), **close)

    # Each group of inputs with one time constant is normalized on its own.
    grouped = kind(**options, tau=np.array([[1e-3, 1e-3, 2e-3, 2e-3]]))
    parts = [SPIKES * part for part in (np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))]
    expected = sum(normalized(KERNEL, part) for part in parts)
    np.testing.assert_allclose(grouped.scan(SPIKES), expected, **close)

    synapses = kind(**options, tau=1e-3)
    synapses.build({"spikes": InputSpec((4,))})
    gradient = nnx.grad(lambda synapses: synapses.scan(SPIKES).value.sum())(synapses)
    each = SPIKES / (1 + SPIKES.sum(-1, keepdims=True))
    expected = np.broadcast_to(each.sum(0)[:, None], (4, 3))
    np.testing.assert_allclose(gradient["matrix"]["weights"][...], expected, rtol=1e-5)


def test_a_connectivity_is_laid_out_refused_and_kept_by_a_file(tmp_path):
    ring = example("own_connectivity").RingConnectivity
    synapses = LinearSynapses(units=6, connectivity=ring(radius=1), dtype="float32")
    synapses.build({"spikes": InputSpec((3,))})
    kernel = np.zeros((6, 3))
    pre, post = (np.asarray(each) for each in synapses.connections)
    kernel[post, pre] = synapses.kernel.value
    ones = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]]
    np.testing.assert_array_equal(kernel != 0, np.array(ones, bool))
    xs = np.eye(3, dtype=bool)
    np.testing.assert_array_equal(synapses.scan(xs), kernel.T.astype(np.float32))

    synapses.config.to_file(tmp_path / "ring.json")
    assert LinearSynapsesConfig.from_file(tmp_path / "ring.json") == synapses.config
    with pytest.raises(ValueError, match="radius must be from 0 to less than half of the 6"):
        LinearSynapses(units=6, connectivity=ring(radius=3)).build({"spikes": InputSpec((3,))})


def test_a_peer_holds_the_facts_that_it_offers():
    with contextlib.closing(PeerProcess("own", EXAMPLES / "own_peer.py")) as peer:
        verdicts = check(peer, facts()).verdicts
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    assert set(outcomes) == {"holds", "not offered"}
    assert outcomes.count("holds") == 6


def test_examples_run_under_jit():
    tracer = example("own_tracer").OccupancyTracer(4, tau=5.0, dtype="float32")
    recurrence = tracer.recurrence
    step = jax.jit(recurrence.step)
    _, y = step(tracer.parameters, tracer.state, jnp.ones(4))
    np.testing.assert_array_equal(y, 0.5)

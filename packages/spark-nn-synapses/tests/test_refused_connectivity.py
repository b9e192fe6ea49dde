"""Connections that are refused: by a configuration, by a build, and by a checkpoint."""

import jax
import numpy as np
import pytest
import scipy.sparse

from spark.core import checkpoints
from spark.nn.components.synapses import (
    AllToAll,
    Block,
    BlockConnectivity,
    FixedFanOut,
    InputSpec,
    KernelInitializerConfig,
    LinearSynapses,
    LinearSynapsesConfig,
    LogNormal,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
    Uniform,
)
from spark.nn.configs import ConfigError

from .connected import built

GIVEN = scipy.sparse.random_array((7, 5), density=0.4, rng=0, format="csr", dtype=np.float32)

REFUSED = [
    (lambda: SparseConnectivity(pre=[0.5], post=[0]), "pre must be a sequence of integers >= 0"),
    (lambda: SparseConnectivity(pre=[[0]], post=[0]), "pre must be a sequence of integers >= 0"),
    (lambda: SparseConnectivity(pre=[0], post=["a"]), "post must be a sequence of integers >= 0"),
    (lambda: SparseConnectivity(pre=[0], post=[True]), "post must be a sequence of integers >= 0"),
    (lambda: SparseConnectivity(pre=[0, -2], post=[0, 0]), "pre must be .* got -2 at index 1"),
    (
        lambda: SparseConnectivity(pre=np.array([2**63], np.uint64), post=[0]),
        "pre must be integers >= 0",
    ),
    (lambda: SparseConnectivity(pre=[0]), "post is missing"),
    (lambda: SparseConnectivity(pre=[0], post=[0, 1]), "post must have one entry per connection"),
    (lambda: SparseConnectivity(pre=[0], post=[0], weights=[1, 2]), "weights must have one entry"),
    (lambda: SparseConnectivity(pre=[0], post=[0], delays=[]), "delays must have one entry"),
    (lambda: SparseConnectivity(pre=[0], post=[0], weights=[np.nan]), "weights must be finite"),
    (lambda: RandomConnectivity(probability=0.0), r"probability must lie in \(0, 1\], got 0.0"),
    (lambda: RandomConnectivity(probability=1.5), r"probability must lie in \(0, 1\], got 1.5"),
    (lambda: RandomConnectivity(probability=[0.5]), r"probability must lie in \(0, 1\]"),
    (lambda: RandomConnectivity(0.5), "takes its fields by name, as in probability=0.5"),
    (lambda: FixedFanOut(fan_out=0), "fan_out must be an integer >= 1, got 0"),
    (lambda: FixedFanOut(fan_out=2.0), "fan_out must be an integer, got 2.0"),
    (lambda: ProceduralConnectivity(fan_out=2, law="gamma"), "law must be 'constant', 'uniform'"),
    (lambda: LinearSynapses(units=2, connectivity="sparse"), "connectivity must be 'dense' or one"),
    (lambda: LinearSynapses(units=2, connectivity=GIVEN), "connectivity must be 'dense' or one of"),
    (
        lambda: LinearSynapsesConfig.from_dict({"units": 2, "connectivity": {"kind": ["random"]}}),
        "connectivity must be 'dense' or one of",
    ),
    (
        lambda: LinearSynapses(units=2, connectivity={"kind": "fan_out", "fan_out": 0}),
        "LinearSynapsesConfig: connectivity.fan_out must be an integer >= 1",
    ),
    (
        lambda: LinearSynapses(units=2, delays=1.0, async_spikes=True),
        "LinearSynapsesConfig: async_spikes, spikes of each connection, go with no delays",
    ),
    (lambda: SparseConnectivity.from_scipy("matrix"), "matrix must be one of real numbers"),
    (lambda: SparseConnectivity.from_scipy(np.ones(3)), "matrix must have two axes"),
    (lambda: SparseConnectivity.from_scipy(np.ones((2, 2, 2))), "matrix must have two axes"),
    (lambda: SparseConnectivity.from_scipy(GIVEN * 1j), "weights must be a number or an array"),
    (lambda: SparseConnectivity.from_scipy(GIVEN * np.inf), "weights must be finite"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_invalid_connectivity_is_refused(make, message):
    error = ConfigError if "matrix" not in message and "by name" not in message else Exception
    with pytest.raises(error, match=message):
        make()


def test_a_file_that_is_no_matrix_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        SparseConnectivity.from_file(tmp_path / "weights.npz")
    (tmp_path / "weights.mtx").write_text("no matrix")
    with pytest.raises(ValueError, match=r"."):
        SparseConnectivity.from_file(tmp_path / "weights.mtx")


# Inputs of (5,) and units of (3,).
MISFITS = [
    (
        {"connectivity": SparseConnectivity(pre=[5], post=[0])},
        "pre of a Sparse.* below 5, .* got 5",
    ),
    (
        {"connectivity": SparseConnectivity(pre=[0], post=[3])},
        "post of a Sparse.* below 3, .*got 3",
    ),
    # Transposed.
    (
        {"connectivity": SparseConnectivity.from_scipy(np.eye(5, 3))},
        r"shape of a SparseConnectivity must be \(3, 5\), .* got \(5, 3\)",
    ),
    ({"connectivity": FixedFanOut(fan_out=4)}, "fan_out must be at most 3, .* got 4"),
    (
        {"connectivity": FixedFanOut(fan_out=1), "kernel_initializer": np.ones((3, 5))},
        r"kernel_initializer must have shape \(connections,\) = \(5,\), got \(3, 5\)",
    ),
    (
        {
            "connectivity": SparseConnectivity(pre=[0], post=[0], weights=[1]),
            "kernel_initializer": KernelInitializerConfig(name="ones"),
        },
        r"kernel_initializer must be an array of shape \(1,\) where the connectivity has weights",
    ),
    (
        {
            "connectivity": SparseConnectivity(pre=[0], post=[0], weights=[1e9]),
            "kernel_dtype": "float16",
        },
        "weights of the connectivity must be finite in float16",
    ),
    (
        {
            "connectivity": FixedFanOut(fan_out=1),
            "kernel_initializer": KernelInitializerConfig(name="sparse_normalized"),
        },
        "kernel_initializer 'sparse_normalized' is about the rows of a whole matrix",
    ),
    (
        {
            "connectivity": ProceduralConnectivity(fan_out=1),
            "tau": np.ones((1, 5)),
            "trainable": "tau",
        },
        "procedural connections are not stored, and have no traces or spikes of their own",
    ),
    (
        {"connectivity": ProceduralConnectivity(fan_out=1), "scale": np.ones((3, 5))},
        "scale of ProceduralConnectivity must not differ between connections",
    ),
    (
        {"connectivity": ProceduralConnectivity(fan_out=1), "delays": np.ones((3, 5))},
        "delays of connections that are not stored are drawn",
    ),
    (
        {"connectivity": FixedFanOut(fan_out=1), "tau": np.ones((3, 4))},
        "tau must be a scalar or of shape",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MISFITS)
def test_a_refused_build_leaves_the_module(arguments, message):
    module = TracedSynapses(units=3, **arguments)
    with pytest.raises(ValueError, match=message):
        module.build({"spikes": InputSpec((5,))})
    assert module.chain is None
    assert module.weights is None
    assert module.current_tracer is None
    assert module.matrix is None
    # One that was built goes on as it was.
    module = TracedSynapses(
        units=3, connectivity=SparseConnectivity(pre=[4], post=[2], weights=[1.0])
    )
    module.build({"spikes": InputSpec((5,))})
    before = jax.tree.map(np.asarray, (module.parameters, module.current_tracer.state.traces))
    with pytest.raises(ValueError, match="below 2"):
        module.build({"spikes": InputSpec((2,))})
    after = jax.tree.map(np.asarray, (module.parameters, module.current_tracer.state.traces))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert module.matrix.inputs == (5,)


ROWS = [
    (
        ProceduralConnectivity(fan_out=2),
        ProceduralConnectivity(fan_out=6),
        "rows.width: 6 in this module, 2 in the checkpoint",
    ),
    (
        ProceduralConnectivity(fan_out=2, law="normal"),
        ProceduralConnectivity(fan_out=2, law="uniform"),
        "rows.law: uniform in this module, normal in the checkpoint",
    ),
]


@pytest.mark.parametrize(("saved", "other", "message"), ROWS)
def test_a_checkpoint_of_other_rows_is_refused(tmp_path, saved, other, message):
    first, second = built(saved, 5, 7), built(other, 5, 7)
    checkpoints.save(tmp_path, 1, first)
    before = np.asarray(second.weights.get_value())
    with pytest.raises(checkpoints.CheckpointError, match=message):
        checkpoints.restore(tmp_path, second)
    np.testing.assert_array_equal(second.weights.get_value(), before)


def test_a_checkpoint_brings_its_connections(tmp_path):
    uneven = [
        SparseConnectivity(pre=pre, post=[0, 1, 2, 3], weights=[1, 2, 4, 8])
        for pre in ([0, 0, 1, 2], [0, 0, 0, 1])
    ]
    for name, (saved, other) in {"uneven": uneven, "even": [FixedFanOut(fan_out=2)] * 2}.items():
        first, second = built(saved, 5, 7), built(other, 5, 7, seed=1)
        checkpoints.save(tmp_path / name, 1, first)
        checkpoints.restore(tmp_path / name, second)
        for xs in np.eye(5, dtype=bool):
            np.testing.assert_array_equal(second(xs), first(xs))


@pytest.mark.parametrize("delays", [None, [0.0, 2.0, 1.0]], ids=["at once", "later"])
def test_wrong_indices_fail_and_touch_no_memory(delays):
    # As no build makes them, but a file might hold them; so many targets that indices have a sign.
    given = SparseConnectivity(pre=[0, 0, 1], post=[4, 69_999, 2], delays=delays)
    module = built(given, 2, 70_000)
    starts, places = (each.get_value() for each in module.matrix.adjacency)
    for wrong in (-1, 3 * 70_000, 2**31 - 1):
        module.matrix.adjacency[1].set_value(places.at[1].set(wrong))
        with pytest.raises(Exception, match="connections lead to no target"):
            jax.block_until_ready(module(np.array([True, False])).value)
    # A row ends with the last connection, wherever it is said to begin or to end.
    module.matrix.adjacency[1].set_value(places)
    for wrong in (-5, 2**31 - 1):
        module.matrix.adjacency[0].set_value(starts.at[1].set(wrong))
        assert np.isfinite(module(np.array([True, True])).value).all()


def test_a_delay_that_no_ring_can_hold_names_the_delays():
    late = Block(rule=AllToAll(), delays=LogNormal(mean=30.0, std=1.0))
    synapses = LinearSynapses(units=4, connectivity=BlockConnectivity(blocks=[late]))
    with pytest.raises(ValueError, match="shorten the delays"):
        synapses.build({"spikes": InputSpec((4,))})


def test_delays_are_given_once():
    connectivity = BlockConnectivity(blocks=[Block(rule=AllToAll(), delays=1.0)])
    with pytest.raises(ValueError, match="delays are given twice"):
        built(connectivity, 5, 3, delays=2.0)


@pytest.mark.parametrize("shortest", [10**6, -(10**6)])
def test_drawn_delays_of_a_damaged_file_write_nowhere(shortest):
    connectivity = ProceduralConnectivity(fan_out=8, delays=Uniform(low=0.0, high=3.0))
    module = built(connectivity, 30, 20)
    sizes = module.matrix.adjacency[1].get_value()
    module.matrix.adjacency[1].set_value(sizes.at[3].set(np.int64(shortest).astype(sizes.dtype)))
    with pytest.raises(Exception, match="connections lead to no target"):
        module(np.ones(30, bool)).value.block_until_ready()

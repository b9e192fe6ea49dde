"""Connections that are given, how much is kept of them, and what a file keeps."""

import gzip

import jax
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from jax.sharding import Mesh

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    KernelInitializerConfig,
    LinearSynapses,
    LinearSynapsesConfig,
    Partition,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
)

from .connected import built
from .graphs import with_zeros


def matrix(module, inputs, targets):
    """The kernel as a matrix (targets, inputs), summed up by SciPy."""
    pre, post = map(np.asarray, module.connections)
    return with_zeros(module.kernel, targets, inputs, pre, post)


# Given.

GIVEN = scipy.sparse.random_array((7, 5), density=0.4, rng=0, format="csr", dtype=np.float32)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia", "dense"])
def test_a_matrix_of_scipy_is_the_kernel(form):
    given = GIVEN.toarray() if form == "dense" else GIVEN.asformat(form)
    module = built(SparseConnectivity.from_scipy(given), 5, 7)
    np.testing.assert_array_equal(matrix(module, 5, 7), GIVEN.toarray())
    assert form == "dia" or module.kernel.shape == (GIVEN.nnz,)


def test_an_old_matrix_of_scipy_is_taken_too():
    given = SparseConnectivity.from_scipy(scipy.sparse.csr_matrix(GIVEN))
    assert given == SparseConnectivity.from_scipy(GIVEN)


@pytest.mark.parametrize("name", ["weights.npz", "weights.mtx", "weights.mtx.gz"])
def test_a_file_is_the_kernel(name, tmp_path):
    path = tmp_path / name
    if name.endswith(".npz"):
        scipy.sparse.save_npz(path, GIVEN)
    else:
        with (gzip.open if name.endswith(".gz") else open)(path, "wb") as file:
            scipy.io.mmwrite(file, GIVEN, precision=9)  # digits that give a float32 back
    module = built(SparseConnectivity.from_file(path), 5, 7)
    np.testing.assert_array_equal(matrix(module, 5, 7), GIVEN.toarray())


def test_an_explicit_zero_is_a_connection():
    given = scipy.sparse.coo_array(([0.0, 2.0], ([0, 1], [0, 1])), (2, 2))
    assert built(SparseConnectivity.from_scipy(given), 2, 2).kernel.value.tolist() == [0.0, 2.0]


def test_connections_are_sorted_by_input_then_target_and_duplicates_stay():
    pre, post = [2, 0, 2, 2, 0], [1, 1, 0, 1, 0]
    module = built(SparseConnectivity(pre=pre, post=post, weights=[1, 2, 3, 4, 5]), 3, 2)
    assert [each.tolist() for each in module.connections] == [[0, 0, 2, 2, 2], [0, 1, 0, 1, 1]]
    # Those of the same two stay in the order in which they came.
    assert module.kernel.value.tolist() == [5.0, 2.0, 3.0, 1.0, 4.0]


def test_weights_are_those_given_then_an_array_then_the_initializer():
    pre, post = np.array([1, 0]), np.array([0, 1])
    alone = SparseConnectivity(pre=pre, post=post)
    weighed = SparseConnectivity(pre=pre, post=post, weights=[1.0, 2.0])
    ones = KernelInitializerConfig(name="ones")
    assert built(weighed, 2, 2).kernel.value.tolist() == [2.0, 1.0]
    array = np.array([3.0, 4.0])
    assert built(weighed, 2, 2, kernel_initializer=array).kernel.value.tolist() == [3.0, 4.0]
    assert built(alone, 2, 2, kernel_initializer=array).kernel.value.tolist() == [3.0, 4.0]
    assert built(alone, 2, 2, kernel_initializer=ones).kernel.value.tolist() == [1.0, 1.0]
    # The default leaves no stored connection at 0.
    assert np.all(np.asarray(built(alone, 2, 2).kernel) > 0)


def test_an_initializer_finds_the_mean_number_of_inputs():
    he = KernelInitializerConfig(name="he_normal")
    kernel = built(FixedFanOut(fan_out=50), 400, 200, kernel_initializer=he).kernel
    # 100 inputs a target; of 20 000 draws, five standard errors.
    expected = np.sqrt(2 / 100)
    assert abs(np.std(kernel) / expected - 1) < 5 / np.sqrt(2 * len(kernel))


def test_a_sparse_kernel_is_set_in_the_order_of_its_connections():
    module = built(SparseConnectivity.from_scipy(GIVEN), 5, 7)
    weights = np.arange(1.0, GIVEN.nnz + 1)
    module.kernel = weights
    np.testing.assert_array_equal(module.kernel, weights)
    pre, post = map(np.asarray, module.connections)
    for wrong in (weights[:-1], GIVEN.toarray()):
        with pytest.raises(ValueError, match=r"kernel must have shape \(connections,\) = \(14,\)"):
            module.kernel = wrong
    with pytest.raises(ValueError, match=r"kernel must be finite in float32, got nan at .* \(0,"):
        module.kernel = weights * np.nan
    np.testing.assert_array_equal(module.kernel, weights)
    np.testing.assert_array_equal(pre, GIVEN.tocsc().tocoo().col)
    np.testing.assert_array_equal(post, GIVEN.tocsc().indices)


def test_dense_synapses_know_their_connections():
    module = LinearSynapses(units=(2, 2), kernel_initializer=np.arange(12.0).reshape(2, 2, 3))
    module.build({"spikes": InputSpec((3,))})
    pre, post = map(np.asarray, module.connections)
    flat = np.asarray(module.kernel).reshape(4, 3)
    np.testing.assert_array_equal(flat[post, pre], module.weights.get_value().reshape(-1))


# How much is kept.


@pytest.mark.parametrize(
    ("connectivity", "inputs", "units"),
    [
        (RandomConnectivity(probability=0.1), 300, 1000),
        (FixedFanOut(fan_out=100), 300, 1000),
        (FixedFanOut(fan_out=100), 300, 70_000),
        (RandomConnectivity(probability=0.002), 300, 70_000),
    ],
)
def test_a_connection_takes_8_bytes_at_most(connectivity, inputs, units):
    module = built(connectivity, inputs, units)
    stored = [module.weights.get_value(), *(each.get_value() for each in module.matrix.adjacency)]
    # Apart from where the rows start, one number an input.
    allowed = 8 * len(module.kernel) + 4 * (inputs + 1)
    assert sum(array.nbytes for array in stored) <= allowed
    small = units <= 1 << 16
    assert module.matrix.adjacency[1].get_value().dtype == (np.uint16 if small else np.int32)


def test_procedural_connections_keep_nothing():
    module = built(ProceduralConnectivity(fan_out=1000), 10**6, 10**6)
    assert module.weights.get_value().nbytes == 8
    assert [each.get_value().nbytes for each in module.matrix.adjacency] == [8, 20]


def test_no_connections_and_no_inputs_are_allowed():
    for connectivity in (
        SparseConnectivity(pre=[], post=[]),
        SparseConnectivity(pre=[], post=[], weights=[]),
        RandomConnectivity(probability=1e-300),
    ):
        module = built(connectivity, 4, 3)
        assert module.kernel.shape == (0,)
        assert module(np.ones(4, bool)).value.tolist() == [0.0] * 3
    for connectivity in (
        SparseConnectivity(pre=[], post=[]),
        RandomConnectivity(probability=0.5),
        FixedFanOut(fan_out=2),
        ProceduralConnectivity(fan_out=2),
    ):
        module = built(connectivity, 0, 3)
        assert module(np.zeros(0, bool)).value.tolist() == [0.0] * 3
        assert module.scan(np.zeros((2, 0), bool)).shape == (2, 3)


# Configuration.

EVERY = [
    SparseConnectivity(pre=[0, 1, 2], post=[1, 0, 1], weights=[1.0, 2.0, 3.0], delays=[1, 2, 0]),
    SparseConnectivity(pre=np.array([0, 1]), post=(1, 0)),
    SparseConnectivity(pre=[], post=[]),
    SparseConnectivity.from_scipy(GIVEN),
    RandomConnectivity(probability=0.25),
    FixedFanOut(fan_out=2),
    ProceduralConnectivity(fan_out=2, law="normal"),
]
every_connectivity = pytest.mark.parametrize(
    "connectivity", EVERY, ids=lambda each: type(each).__name__
)


@every_connectivity
def test_a_file_keeps_the_configuration(connectivity, tmp_path):
    config = LinearSynapsesConfig(units=3, connectivity=connectivity, delays=2.0)
    path = tmp_path / "config.json"
    config.to_file(path)
    read = LinearSynapsesConfig.from_file(path)
    assert read == config
    assert hash(read) == hash(config)
    assert read.connectivity == connectivity
    assert read.to_dict() == config.to_dict()
    assert type(connectivity).from_dict(connectivity.to_dict()) == connectivity


def test_configurations_are_equal_by_content():
    configs = [LinearSynapsesConfig(units=3, connectivity=each) for each in (*EVERY, "dense")]
    again = [config.replace(seed=None) for config in configs]
    assert configs == again
    assert len({*configs, *again}) == len(configs)


def test_indices_are_kept_as_read_only_copies():
    mine = np.array([0, 1])
    connectivity = SparseConnectivity(pre=mine, post=[0, 1], weights=[1.0, 2.0])
    mine[0] = 5
    assert connectivity.pre.tolist() == [0, 1]
    for array in (connectivity.pre, connectivity.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 3


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_lists_in_files_that_are_mapped_for_reading_are_not_copied(tmp_path, mode):
    given = {
        "pre": np.array([2, 0, 2], np.int32),
        "post": np.array([0, 1, 1], np.int32),
        "weights": np.array([3.0, 1.0, 4.0], np.float32),
    }
    for name, array in given.items():
        np.save(tmp_path / f"{name}.npy", array)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in given}
    connectivity = SparseConnectivity(**maps)
    assert connectivity == SparseConnectivity(**given)
    assert SparseConnectivity.from_dict(connectivity.to_dict()) == connectivity
    for name, array in maps.items():
        shared = np.shares_memory(getattr(connectivity, name), array)
        assert shared == (mode == "r")  # the others can be written to
    synapses = LinearSynapses(units=2, connectivity=connectivity, dtype="float32")
    assert synapses(np.array([True, False, True])).value.tolist() == [3, 5]


@pytest.mark.parametrize("partition", [None, 1])
def test_a_kernel_in_a_mapped_file_is_copied(tmp_path, partition):
    path = tmp_path / "kernel.npy"
    np.save(path, np.ones((1, 200_000), np.float32))  # which nothing has to move
    synapses = LinearSynapses(
        units=1, kernel_initializer=np.load(path, mmap_mode="r"), dtype="float32"
    )
    if partition is not None:
        partition = Partition(Mesh(np.array(jax.devices()[:1]), ("inputs",)), inputs="inputs")
    synapses.build({"spikes": InputSpec((200_000,))}, partition=partition)
    np.load(path, mmap_mode="r+")[:] = 7
    assert np.all(synapses.kernel.value == 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"connectivity": SparseConnectivity(pre=[0, 1, 3, 3], post=[0, 4, 2, 4])},
        {"delays": np.arange(20.0).reshape(5, 4) % 3},
    ],
    ids=["sparse", "delayed"],
)
def test_a_scale_of_each_connection_is_laid_out_inside_of_transforms(arguments):
    def weighed():
        module = TracedSynapses(units=5, scale=np.arange(20.0).reshape(5, 4), **arguments)
        module.build({"spikes": InputSpec((4,))})
        return [gain.get_value() for gain in module.gains.values()]

    for inside, outside in zip(jax.jit(weighed)(), weighed(), strict=True):
        np.testing.assert_array_equal(inside, outside)

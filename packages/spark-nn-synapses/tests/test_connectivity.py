"""Who reaches whom: what is given, what is drawn, what a file keeps, and what is refused."""

import gzip
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from flax import nnx
from scipy import stats

from spark.core import checkpoints
from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    KernelInitializerConfig,
    LinearSynapses,
    LinearSynapsesConfig,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
)
from spark.nn.components.synapses.rows import EvenRows, UnevenRows, _below
from spark.nn.configs import ConfigError

# Of a right program, a statistic falls below this once in a million runs; seeds are fixed.
UNLIKELY = 1e-6


def built(connectivity, inputs, units, **kwargs):
    options = {"dtype": "float32", "seed": 0, **kwargs}
    module = LinearSynapses(units=units, connectivity=connectivity, **options)
    module.build({"spikes": InputSpec((inputs,) if isinstance(inputs, int) else inputs)})
    return module


def pairs(connectivity, inputs, targets, seed=0):
    """Input and target of each connection, without a module: nothing is compiled."""
    rows, wires, *_ = connectivity.connect(inputs, targets, jax.random.key(seed))
    if not rows.stored:
        return tuple(map(np.asarray, rows.all(wires)))
    post, *starts = map(np.asarray, wires)
    lengths = np.diff(starts[0]) if starts else rows.width
    return np.repeat(np.arange(inputs), lengths), post.astype(int)


def matrix(module, inputs, targets):
    """The kernel as a matrix (targets, inputs), summed up by SciPy."""
    pre, post = map(np.asarray, module.connections)
    weights = np.asarray(module.kernel, np.float64)
    return scipy.sparse.coo_array((weights, (post, pre)), (targets, inputs)).toarray()


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


def test_the_kernel_is_set_in_its_own_order():
    module = built(SparseConnectivity.from_scipy(GIVEN), 5, 7)
    weights = np.arange(1.0, GIVEN.nnz + 1)
    module.kernel = weights
    np.testing.assert_array_equal(module.kernel, weights)
    pre, post = map(np.asarray, module.connections)
    for wrong in (weights[:-1], GIVEN.toarray()):
        with pytest.raises(ValueError, match=r"kernel must have shape the connections = \(14,\)"):
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
    stored = [module.weights.get_value(), *(wire.get_value() for wire in module.wires)]
    # Apart from where the rows start, one number an input.
    allowed = 8 * len(module.kernel) + 4 * (inputs + 1)
    assert sum(array.nbytes for array in stored) <= allowed
    small = units <= 1 << 16
    assert module.wires[0].get_value().dtype == (np.uint16 if small else np.int32)


def test_rows_of_one_length_keep_no_starts():
    assert isinstance(built(FixedFanOut(fan_out=3), 6, 7).pathway.drive.rows, EvenRows)
    assert len(built(FixedFanOut(fan_out=3), 6, 7).wires) == 1
    given = SparseConnectivity.from_scipy(GIVEN)
    assert isinstance(built(given, 5, 7).pathway.drive.rows, UnevenRows)


def test_procedural_connections_keep_nothing():
    module = built(ProceduralConnectivity(fan_out=1000), 10**6, 10**6)
    assert module.weights.get_value().nbytes == 8
    assert [wire.get_value().nbytes for wire in module.wires] == [8]


def test_there_may_be_none_at_all():
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


# Drawn.


@pytest.mark.parametrize("probability", [0.003, 0.1, 0.9])
def test_random_connections_are_binomial(probability):
    inputs, targets = 300, 400
    pre, post = pairs(RandomConnectivity(probability=probability), inputs, targets)
    found = np.zeros((inputs, targets), bool)
    found[pre, post] = True
    assert found.sum() == len(pre)  # none twice
    assert stats.binomtest(len(pre), inputs * targets, probability).pvalue > UNLIKELY
    for axis, size in ((1, targets), (0, inputs)):
        counts = found.sum(axis=axis)
        # As spread as binomial counts are, neither more nor less.
        spread = np.sum((counts - size * probability) ** 2)
        spread /= size * probability * (1 - probability)
        tail = stats.chi2(len(counts))
        assert min(tail.cdf(spread), tail.sf(spread)) > UNLIKELY


def test_inputs_are_connected_independently():
    pre, post = pairs(RandomConnectivity(probability=0.5), 64, 2000)
    found = np.zeros((64, 2000))
    found[pre, post] = 1
    # Of 2016 pairs of inputs, none correlates beyond six standard errors.
    off = np.corrcoef(found)[~np.eye(64, dtype=bool)]
    assert np.abs(off).max() < 6 / np.sqrt(2000)
    # Nor a target with the next of the same input, which gaps that are not geometric would do.
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 6 / np.sqrt(128e3)


def test_probability_one_is_all():
    pre, post = pairs(RandomConnectivity(probability=1), 3, 4)
    np.testing.assert_array_equal(pre * 4 + post, np.arange(12))


@pytest.mark.parametrize("fan_out", [1, 7, 20, 29, 40])
def test_fan_out_is_distinct_and_uniform(fan_out):
    inputs, targets = 2000, 40
    pre, post = pairs(FixedFanOut(fan_out=fan_out), inputs, targets)
    np.testing.assert_array_equal(pre, np.repeat(np.arange(inputs), fan_out))
    rows = post.reshape(inputs, fan_out)
    assert np.all(np.diff(rows, axis=1) > 0)
    if fan_out == targets:
        return
    # Drawn without replacement, counts are less spread than multinomial ones, by this factor.
    counts, mean = np.bincount(post, minlength=targets), inputs * fan_out / targets
    factor = (1 - fan_out / targets) * targets / (targets - 1)
    spread = np.sum((counts - mean) ** 2) / (mean * factor)
    tail = stats.chi2(targets - 1)
    assert min(tail.cdf(spread), tail.sf(spread)) > UNLIKELY


def test_all_sets_of_targets_are_as_likely():
    _, post = pairs(FixedFanOut(fan_out=2), 12_000, 5)
    counts = np.bincount(post.reshape(-1, 2) @ [5, 1])
    assert stats.chisquare(counts[counts > 0]).pvalue > UNLIKELY
    assert np.count_nonzero(counts) == 10


def test_procedural_targets_are_uniform_and_independent():
    # 37 is no power of two.
    pre, post = pairs(ProceduralConnectivity(fan_out=64), 1000, 37)
    np.testing.assert_array_equal(pre, np.repeat(np.arange(1000), 64))
    assert (post.min(), post.max()) == (0, 36)
    assert stats.chisquare(np.bincount(post)).pvalue > UNLIKELY
    rows = post.reshape(1000, 64)
    for one, other in ((rows[:, :-1], rows[:, 1:]), (rows[:-1], rows[1:])):
        joint = np.bincount((one * 37 + other).ravel(), minlength=37**2)
        assert stats.chisquare(joint).pvalue > UNLIKELY


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_procedural_weights_follow_their_law(law):
    connectivity = ProceduralConnectivity(fan_out=100, law=law)
    module = built(connectivity, 40, 10**6)
    module.kernel = [2.0, 3.0]
    found = np.asarray(module(np.ones(40, bool)))
    post = np.asarray(module.connections[1])
    # The few targets that are reached twice are left out.
    reached = np.bincount(post, minlength=10**6)
    found = found[reached == 1]
    assert len(found) > 3900
    expected = stats.uniform(2, 1) if law == "uniform" else stats.norm(2, 3)
    assert stats.kstest(found, expected.cdf).pvalue > UNLIKELY


def test_seeds_draw_differently():
    for connectivity in (
        RandomConnectivity(probability=0.5),
        FixedFanOut(fan_out=10),
        ProceduralConnectivity(fan_out=10),
    ):
        one, same, other = (pairs(connectivity, 20, 30, seed=seed)[1] for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert len(one) != len(other) or np.any(one != other)


DIGEST = """
import hashlib
import jax
import numpy as np
from spark.nn.components.synapses import FixedFanOut, ProceduralConnectivity, RandomConnectivity

found = hashlib.sha256()
for connectivity in (
    RandomConnectivity(probability=0.1),
    FixedFanOut(fan_out=10),
    ProceduralConnectivity(fan_out=10),
):
    rows, wires, *_ = connectivity.connect(40, 50, jax.random.key(3))
    for array in (*wires, *rows.all(wires)):
        found.update(np.asarray(array).tobytes())
"""


def test_each_process_draws_the_same():
    # Of another hash seed, too.
    there = subprocess.run(
        [sys.executable, "-c", DIGEST + "print(found.hexdigest())"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {}
    exec(DIGEST, names)
    assert there.stdout.strip() == names["found"].hexdigest()


@pytest.mark.parametrize("limit", [1, 2, 37, 1 << 16, 100_003, 2**31 - 1])
def test_random_bits_below_a_limit_are_the_high_half_of_a_product(limit):
    bits = np.random.default_rng(0).integers(2**32, size=1000, dtype=np.uint32)
    bits[:2] = 0, 2**32 - 1
    expected = bits.astype(object) * limit >> 32
    np.testing.assert_array_equal(_below(jnp.asarray(bits), limit), expected.astype(np.int32))


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
    (lambda: RandomConnectivity(0.5), "positional"),
    (lambda: FixedFanOut(fan_out=0), "fan_out must be an integer > 0, got 0"),
    (lambda: FixedFanOut(fan_out=2.0), "fan_out must be an integer > 0, got 2.0"),
    (lambda: ProceduralConnectivity(fan_out=2, law="gamma"), "law must be 'constant', 'uniform'"),
    (lambda: LinearSynapses(units=2, connectivity="sparse"), "connectivity must be 'dense' or one"),
    (lambda: LinearSynapses(units=2, connectivity=GIVEN), "connectivity must be 'dense' or one of"),
    (
        lambda: LinearSynapsesConfig.from_dict({"units": 2, "connectivity": {"kind": ["random"]}}),
        "connectivity must be 'dense' or one of",
    ),
    (
        lambda: LinearSynapses(units=2, connectivity={"kind": "fan_out", "fan_out": 0}),
        "LinearSynapsesConfig: connectivity.fan_out must be an integer > 0",
    ),
    (
        lambda: LinearSynapses(units=2, connectivity=FixedFanOut(fan_out=1), async_spikes=True),
        "LinearSynapsesConfig: async_spikes, spikes of each connection, go with connectivity='dens",
    ),
    (lambda: SparseConnectivity.from_scipy("matrix"), "matrix must be one of real numbers"),
    (lambda: SparseConnectivity.from_scipy(np.ones(3)), "matrix must have two axes"),
    (lambda: SparseConnectivity.from_scipy(np.ones((2, 2, 2))), "matrix must have two axes"),
    (lambda: SparseConnectivity.from_scipy(GIVEN * 1j), "weights must be a number or an array"),
    (lambda: SparseConnectivity.from_scipy(GIVEN * np.inf), "weights must be finite"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_makes_no_connections_is_refused(make, message):
    error = ConfigError if "matrix" not in message and message != "positional" else Exception
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
        r"kernel_initializer must have shape the connections = \(5,\), got \(3, 5\)",
    ),
    (
        {
            "connectivity": SparseConnectivity(pre=[0], post=[0], weights=[1]),
            "kernel_initializer": KernelInitializerConfig(name="ones"),
        },
        r"kernel_initializer must be an array of shape \(1,\) where the connectivity has weights",
    ),
    (
        {"connectivity": SparseConnectivity(pre=[0], post=[0], weights=[1e9]), "dtype": "float16"},
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
        {"connectivity": FixedFanOut(fan_out=1), "tau": np.ones((1, 5)), "trainable": "tau"},
        "tau must not differ over inputs and be trained",
    ),
    (
        {"connectivity": ProceduralConnectivity(fan_out=1), "scale": np.ones((3, 5))},
        "scale of ProceduralConnectivity must not differ between connections",
    ),
    (
        {"connectivity": ProceduralConnectivity(fan_out=1), "delays": np.ones((3, 5))},
        "delays of connections need these to be stored",
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
    assert module.pathway is None
    assert module.weights is None
    assert module.current_tracer is None
    assert len(module.wires) == 0
    # One that was built goes on as it was.
    module = TracedSynapses(
        units=3, connectivity=SparseConnectivity(pre=[4], post=[2], weights=[1.0])
    )
    module.build({"spikes": InputSpec((5,))})
    before = jax.tree.map(np.asarray, (module._arrays(), module._state().tracer.traces))
    with pytest.raises(ValueError, match="below 2"):
        module.build({"spikes": InputSpec((2,))})
    after = jax.tree.map(np.asarray, (module._arrays(), module._state().tracer.traces))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert module.pathway.drive.inputs == (5,)


ROWS = [
    # As many connections, in rows of other lengths.
    (
        SparseConnectivity(pre=[0, 0, 1, 2], post=[0, 1, 2, 3]),
        SparseConnectivity(pre=[0, 0, 0, 1], post=[0, 1, 2, 3]),
        "rows.longest is 3 here, 2 there",
    ),
    (
        ProceduralConnectivity(fan_out=2),
        ProceduralConnectivity(fan_out=6),
        "rows.width is 6 here, 2 there",
    ),
    (
        ProceduralConnectivity(fan_out=2, law="normal"),
        ProceduralConnectivity(fan_out=2, law="uniform"),
        "rows.law is uniform here, normal there",
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


def test_what_is_drawn_on_the_host_is_drawn_outside_of_transforms():
    def currents(connectivity):
        return built(connectivity, 4, 5)(jnp.ones(4, bool)).value

    for connectivity in (RandomConnectivity(probability=0.5), FixedFanOut(fan_out=2)):
        with pytest.raises(ValueError, match="random connectivity is drawn outside of JAX transf"):
            jax.jit(lambda c=connectivity: currents(c))()
    for connectivity in (ProceduralConnectivity(fan_out=2), SparseConnectivity(pre=[0], post=[4])):
        inside = jax.jit(lambda c=connectivity: currents(c))()
        # One addition more or less is rounded.
        np.testing.assert_allclose(inside, currents(connectivity), rtol=1e-6)


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


def test_an_ensemble_draws_differently():
    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def make(rngs):
        module = LinearSynapses(
            units=1000, rngs=rngs, connectivity=ProceduralConnectivity(fan_out=10), dtype="float32"
        )
        module.build({"spikes": InputSpec((4,))})
        return module

    modules = make(nnx.Rngs(0))
    found = nnx.vmap(lambda module, x: module(x), in_axes=(0, None))(modules, jnp.ones(4, bool))
    reached = np.asarray(found.value) != 0
    assert np.all(np.abs(reached.sum(axis=1) - 40) <= 10)
    assert not np.any(np.all(reached[0] == reached[1:], axis=1))

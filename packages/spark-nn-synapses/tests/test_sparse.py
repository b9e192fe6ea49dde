"""Spikes times a kernel of few connections: against SciPy and the dense kernel with zeros."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from flax import nnx
from jax import lax

from spark.core.tracers.agreement import tolerance
from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    ProceduralConnectivity,
    RandomConnectivity,
    SparseConnectivity,
    SpikeArray,
    TracedSynapses,
)
from spark.nn.components.synapses import base as base_module
from spark.nn.components.synapses.connectivity import stored_rows
from spark.nn.components.synapses.rows import EvenRows
from spark.nn.components.synapses.sparse import project_rows

from .kinds import (
    DOUBLE,
    LINEAR,
    TRACED,
    every_kind,
    exact,
    laid_out,
    normal,
    spikes,
)


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
    # Rows of several parts.
    "parts": graph(40, 50, [0, 0, *range(17), 5, 0, 0, 201, *range(15), 0, 7]),
    "long": graph(3, 3000, [2500, 0, 1]),
}
every_graph = pytest.mark.parametrize("name", GRAPHS)
every_way = pytest.mark.parametrize("way", ["dense", "events"])

# One compiled program per graph, way, shape and dtype.
run = jax.jit(project_rows, static_argnames=("rows", "dtype", "way"))


def project(name, weights, spikes, way="events", dtype="float32", into=None):
    rows, wires, *_ = GRAPHS[name]
    return run(rows, wires, weights, spikes, dtype=jnp.dtype(dtype), way=way, into=into)


@functools.cache
def kernel(name, dtype="float32"):
    """Weights along rows, and the same in float64."""
    stored = jnp.asarray(np.random.default_rng(3).normal(size=len(GRAPHS[name][2])), dtype)
    return stored, np.asarray(stored, np.float64)


def matrix(name, weights):
    """The kernel with zeros (inputs, targets), of SciPy."""
    rows, _, pre, post = GRAPHS[name]
    return scipy.sparse.coo_array((weights, (pre, post)), (rows.inputs, rows.targets)).toarray()


def close(name, found, spikes, weights, terms=None):
    """Within the rounding of a sum, in any order, of products of weights and spikes."""
    spikes = np.asarray(spikes, np.float64)
    terms = len(weights) + 2 if terms is None else terms
    bound = terms * tolerance("sum", found.dtype) * (np.abs(spikes) @ matrix(name, np.abs(weights)))
    error = np.abs(np.asarray(found, np.float64) - spikes @ matrix(name, weights))
    assert np.all(error <= bound)


def test_rows_are_as_they_are_meant_to_be():
    rows = {name: GRAPHS[name][0] for name in GRAPHS}
    assert isinstance(rows["even"], EvenRows)
    assert rows["uneven"].whole
    assert not rows["parts"].whole
    # The last row is shorter than a part, which cannot be read from where it starts.
    assert rows["parts"].width > 7
    assert rows["long"].width > 1


@every_graph
@every_way
def test_sums_are_right_at_every_rate(name, way):
    stored, weights = kernel(name)
    inputs = GRAPHS[name][0].inputs
    for rate in (0.0, 0.1, 0.5, 1.0):
        xs = spikes(4, inputs, rate)
        found = project(name, stored, xs, way)
        assert found.dtype == np.float32
        close(name, found, xs, weights)


@every_graph
@every_way
def test_signed_and_graded_spikes_in_a_batch(name, way):
    stored, weights = kernel(name)
    inputs = GRAPHS[name][0].inputs
    xs = (normal(5, (2, 3, inputs)) * spikes(6, (2, 3, inputs))).astype(np.float32)
    xs[xs == 0] = -0.0
    xs[0, 0] = 0.0
    found = project(name, stored, xs, way)
    assert found.shape == (2, 3, GRAPHS[name][0].targets)
    close(name, found, xs, weights)
    into = jnp.asarray(normal(7, found.shape))
    more = project(name, stored, xs, way, into=into)
    # Of numbers around 1, one rounding more.
    np.testing.assert_allclose(more, found + into, rtol=1e-5, atol=1e-5)


@every_way
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_kernels_are_added_up_in_float32(way, dtype):
    stored, weights = kernel("uneven", dtype)
    found = project("uneven", stored, np.ones(40, bool), way)
    assert found.dtype == np.float32
    close("uneven", found, np.ones(40), weights)


@every_way
def test_double_precision(way, x64):
    rows, wires, pre, _ = GRAPHS["uneven"]
    weights = np.random.default_rng(3).normal(size=len(pre))
    found = project_rows(
        rows, wires, jnp.asarray(weights), spikes(4, 40), jnp.dtype("float64"), way
    )
    assert found.dtype == np.float64
    close("uneven", found, spikes(4, 40), weights)


@every_way
def test_a_shard_map_that_looks_for_what_differs_is_refused(way):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("devices",))
    weights, _ = kernel("even")
    spikes = jnp.ones((1, 40), bool)

    def sums(**options):
        along = jax.sharding.PartitionSpec("devices")
        run = functools.partial(project, "even", way=way)
        return jax.shard_map(run, mesh=mesh, in_specs=(along, along), out_specs=along, **options)

    with pytest.raises(TypeError, match=r"sparse connections inside jax.shard_map need check_vma="):
        sums()(weights, spikes)
    found = sums(check_vma=False)(weights, spikes)
    np.testing.assert_array_equal(found, project("even", weights, spikes, way))


@every_way
def test_nothing_comes_of_nothing(way):
    stored, _ = kernel("uneven")
    assert project("uneven", stored, np.zeros((0, 40), bool), way).shape == (0, 50)
    rows, wires = stored_rows(np.zeros(0, int), np.zeros(0, int), 0, 3)
    found = run(rows, wires, jnp.zeros(0), np.zeros((2, 0), bool), dtype=jnp.dtype("float32"))
    assert found.tolist() == [[0.0] * 3] * 2

    def loss(weights, xs):
        return jnp.sum(project("none", weights, xs, way))

    of_weights, of_spikes = jax.grad(loss, (0, 1))(jnp.zeros(0), jnp.ones((2, 4)))
    assert of_weights.shape == (0,)
    assert of_spikes.tolist() == [[0.0] * 4] * 2
    sums = functools.partial(run, rows, wires, jnp.zeros(0), dtype=jnp.dtype("float32"))
    assert jax.vmap(sums)(np.zeros((2, 3, 0), bool)).tolist() == [[[0.0] * 3] * 3] * 2


@every_way
@pytest.mark.parametrize("name", ["even", "uneven", "parts"])
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_fault_of_a_silent_input_stays_where_it_is(name, way, fault):
    rows, _, pre, post = GRAPHS[name]
    _, weights = kernel(name)
    # Between two that spike, so that what is read beyond the end of a row is at fault.
    silent = list(range(1, rows.inputs, 2))
    faulty = np.where(np.isin(pre, silent), fault, weights).astype(np.float32)
    sound = np.where(np.isin(pre, silent), 0.0, weights)
    xs = ~np.isin(np.arange(rows.inputs), silent)
    for given in (xs, xs.astype(np.float32)):
        close(name, project(name, jnp.asarray(faulty), given, way), xs, sound)
        # Once it spikes, a fault reaches its targets, and no other.
        given = given.copy()
        given[silent[3]] = True
        reached = np.isin(np.arange(rows.targets), post[pre == silent[3]])
        found = np.asarray(project(name, jnp.asarray(faulty), given, way))
        np.testing.assert_array_equal(~np.isfinite(found), reached)


@every_way
@pytest.mark.parametrize("name", ["even", "uneven", "parts"])
def test_a_spike_that_is_not_a_number_shows_in_its_own_targets(name, way):
    rows, _, pre, post = GRAPHS[name]
    xs = np.ones(rows.inputs, np.float32)
    xs[9] = np.nan
    found = np.isnan(project(name, kernel(name)[0], xs, way))
    np.testing.assert_array_equal(found, np.isin(np.arange(rows.targets), post[pre == 9]))


@every_way
@pytest.mark.parametrize("name", ["uneven", "parts"])
def test_a_fault_in_a_cotangent_reaches_the_inputs_of_its_target_alone(name, way):
    *_, pre, post = GRAPHS[name]
    xs = jnp.zeros((1, 40))
    _, pullback = jax.vjp(lambda xs: project(name, kernel(name)[0], xs, way), xs)
    (found,) = pullback(jnp.zeros((1, 50)).at[0, 9].set(np.nan))
    np.testing.assert_array_equal(np.isnan(found[0]), np.isin(np.arange(40), pre[post == 9]))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_events_convert_no_row_that_is_silent(dtype):
    rows, wires = stored_rows(np.repeat(np.arange(1000), 1000), np.arange(10**6) % 1000, 1000, 1000)
    run_ = jax.jit(project_rows, static_argnums=(0, 4, 5))
    lowered = run_.lower(
        rows, wires, jnp.zeros(10**6, dtype), np.zeros(1000, bool), jnp.dtype("float32"), "events"
    )
    # A row in float32, where the whole kernel would be 4 MB.
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 100_000


# Derivatives.


def dense(name, weights, xs):
    """The same sums, of the kernel with zeros, in plain JAX."""
    rows, _, pre, post = GRAPHS[name]
    whole = jnp.zeros((rows.inputs, rows.targets), weights.dtype).at[pre, post].add(weights)
    return jnp.einsum("...i,ij->...j", xs, whole)


def point(name, seed=8):
    """Weights, spikes of which most are silent, and an aim for each target."""
    rows, _, pre, _ = GRAPHS[name]
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=rows.inputs) * (rng.random(rows.inputs) < 0.3)
    made = rng.normal(size=len(pre)), xs, rng.normal(size=rows.targets)
    return tuple(jnp.asarray(each, "float32") for each in made)


def same(found, expected):
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        bound = tolerance("gradient", "float32") * max(np.abs(two).max(initial=0), 1)
        np.testing.assert_allclose(one, two, rtol=0, atol=bound)


@every_way
@pytest.mark.parametrize("name", ["even", "uneven", "parts"])
def test_derivatives_are_those_of_the_dense_kernel(name, way):
    weights, xs, aim = point(name)
    push = point(name, 9)[:2]

    def every(project):
        def loss(weights, xs):
            return jnp.sum(jnp.sin(project(name, weights, xs)) * aim)

        def sums(weights, xs):
            return project(name, weights, xs)

        gradient = jax.grad(loss, (0, 1))
        return {
            "reverse": gradient(weights, xs),
            "forward": jax.jvp(sums, (weights, xs), push)[1],
            # Forward over reverse, and reverse over reverse.
            "second": jax.jvp(gradient, (weights, xs), push)[1],
            "twice": jax.grad(lambda *at: sum(map(jnp.vdot, gradient(*at), push)), (0, 1))(
                weights, xs
            ),
            "linear": jax.linear_transpose(functools.partial(sums, weights), xs)(aim),
        }

    found = jax.jit(lambda: every(functools.partial(project, way=way)))()
    expected = jax.jit(lambda: every(dense))()
    for kind in expected:
        same(found[kind], expected[kind])


@every_way
def test_derivatives_are_finite_differences(way, x64):
    rows, wires, pre, _ = GRAPHS["parts"]
    rng = np.random.default_rng(0)
    shapes = (len(pre),), (2, 40)
    at, push = ([jnp.asarray(rng.normal(size=shape)) for shape in shapes] for _ in range(2))
    step = 1e-5

    @jax.jit
    def loss(weights, xs):
        return jnp.sum(jnp.sin(project_rows(rows, wires, weights, xs, jnp.dtype("float64"), way)))

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    before, after = (
        [x + sign * step * dx for x, dx in zip(at, push, strict=True)] for sign in (-1, 1)
    )
    along = sum(map(jnp.vdot, gradient(*at), push))
    # Third derivatives of some 1e6 times the step squared.
    np.testing.assert_allclose(along, (loss(*after) - loss(*before)) / (2 * step), rtol=1e-5)
    _, second = jax.jit(lambda at, push: jax.jvp(gradient, at, push))(tuple(at), tuple(push))
    for found, one, two in zip(second, gradient(*after), gradient(*before), strict=True):
        np.testing.assert_allclose(found, (one - two) / (2 * step), rtol=1e-4, atol=1e-4)


@every_way
def test_vmap_over_weights_spikes_and_sums(way):
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=(2, len(GRAPHS["uneven"][2]))), "float32")
    xs = jnp.asarray(rng.normal(size=(2, 3, 40)) * spikes(2, (2, 3, 40)), "float32")
    into = jnp.asarray(rng.normal(size=(2, 3, 50)), "float32")

    def sums(weights, xs, into):
        return project("uneven", weights, xs, way, into=into)

    for axes in [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, None), (0, 0, 0)]:
        given = [
            each if axis == 0 else each[0]
            for each, axis in zip((weights, xs, into), axes, strict=True)
        ]
        found = jax.jit(jax.vmap(sums, axes))(*given)
        for i in range(2):
            alone = sums(*(e[i] if axis == 0 else e for e, axis in zip(given, axes, strict=True)))
            # The same sums, perhaps in another order.
            np.testing.assert_allclose(found[i], alone, rtol=1e-5, atol=1e-5)


@every_way
def test_derivatives_under_vmap_and_scan(way):
    weights, _, aim = point("even")
    xs = jnp.stack([point("even", seed)[1] for seed in range(3)])

    def loss(project, weights, x):
        return jnp.sum(jnp.sin(project("even", weights, x)) * aim)

    def batched(project):
        each = functools.partial(loss, project)
        several = jnp.stack([weights, 2 * weights, -weights])
        of_both = jax.vmap(jax.grad(each, (0, 1)))(several, xs)
        return of_both, jax.vmap(jax.grad(each, (0, 1)), (None, 0))(weights, xs)

    def scanned(project):
        def total(weights, xs):
            def body(carry, x):
                # Little feeds back, or rounding errors would grow from step to step.
                return jnp.sin(project("even", weights, x + 0.1 * carry[0]) + carry), None

            return jnp.sum(lax.scan(jax.checkpoint(body), jnp.zeros(7), xs)[0] * aim)

        return jax.grad(total, (0, 1))(weights, xs)

    ours = functools.partial(project, way=way)
    same(jax.jit(lambda: batched(ours))(), jax.jit(lambda: batched(dense))())
    same(jax.jit(lambda: scanned(ours))(), jax.jit(lambda: scanned(dense))())


def test_booleans_have_no_derivative_and_leave_that_of_weights():
    weights, _, aim = point("even")
    xs = jnp.asarray(spikes(3, 40))

    def loss(weights, xs):
        return jnp.vdot(project("even", weights, xs), aim)

    same(
        jax.grad(loss)(weights, xs),
        jax.grad(lambda w: jnp.vdot(dense("even", w, xs.astype("float32")), aim))(weights),
    )
    nothing = np.zeros(40, jax.dtypes.float0)
    _, push = jax.jvp(loss, (weights, xs), (weights, nothing))
    # Linear in the weights.
    np.testing.assert_allclose(push, loss(weights, xs), rtol=1e-5)


# Modules, of 5 inputs and 3 targets, with an empty row, and one connection that comes twice.

PRE, POST = np.array([0, 0, 1, 3, 3, 3, 4, 4]), np.array([0, 2, 1, 0, 1, 2, 2, 2])
CONNECTED = SparseConnectivity(pre=PRE, post=POST)
WEIGHTS = normal(0, 8)
XS = spikes(1, (40, 5))
SPEC = {"spikes": InputSpec((5,))}
CLOSE = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float32"))
AS_STEPS = dict.fromkeys(("rtol", "atol"), tolerance("steps", "float32"))


def with_zeros(weights, targets=3, inputs=5, pre=PRE, post=POST):
    """The dense kernel (targets, inputs) of SciPy."""
    weights = np.asarray(weights, np.float64)
    return scipy.sparse.coo_array((weights, (post, pre)), (targets, inputs)).toarray()


def make(kind, weights=WEIGHTS, **kwargs):
    module = kind.make(weights, connectivity=CONNECTED, **kwargs)
    module.build(SPEC)
    return module


def by_steps(module, xs):
    return np.stack([np.asarray(module(x)) for x in xs])


LAYOUTS = ["scalar", "per-target", "scale-per-input", "two-values-per-target", "per-synapse"]
every_sharing = pytest.mark.parametrize(
    ("kind", "layout"),
    [(LINEAR, "scalar"), *((TRACED, each) for each in LAYOUTS), (DOUBLE, "two-values")],
    ids=lambda value: getattr(value, "name", value),
)


@every_sharing
def test_currents_are_those_of_the_dense_kernel_in_every_layout(kind, layout):
    arguments, several = laid_out(kind, layout)
    # What is along rows does not know of the way: of each layout, one scans and the other steps.
    module = make(kind, projection="dense", **arguments)
    expected = kind.currents(with_zeros(WEIGHTS), XS, **arguments)
    np.testing.assert_allclose(module.scan(XS), expected, **CLOSE)
    assert [trace.size for trace in kind.state(module)] == [3 * several] * len(kind.traces)
    module = make(kind, projection="events", **arguments)
    np.testing.assert_allclose(by_steps(module, XS[:9]), expected[:9], **CLOSE)


@every_kind
def test_targets_and_inputs_of_several_axes(kind):
    units, inputs = (2, 3), (4, 2)
    rng = np.random.default_rng(2)
    pre, post, weights = rng.integers(8, size=9), rng.integers(6, size=9), normal(3, 9)
    given = SparseConnectivity(pre=pre, post=post, weights=weights)
    xs = spikes(3, (20, *inputs))
    module = kind.cls(units=units, connectivity=given, dtype="float32", **kind.arguments)
    found = module.scan(xs)
    assert found.shape == (20, *units)
    whole = with_zeros(weights, 6, 8, pre, post).reshape(*units, *inputs)
    np.testing.assert_allclose(found, kind.currents(whole, xs, 2), **CLOSE)


@every_way
def test_inhibitory_and_graded_spikes(way):
    mask = np.array([True, False, False, True, False])
    graded = (normal(5, XS.shape) * XS).astype(np.float32)
    module = make(TRACED, projection=way)
    for xs in (XS, graded):
        module.reset()
        expected = TRACED.currents(with_zeros(WEIGHTS), xs * np.where(mask, -1, 1))
        np.testing.assert_allclose(module.scan(SpikeArray(xs, mask)), expected, **CLOSE)


@pytest.mark.parametrize(
    ("kind", "layout", "dtype"),
    [
        (TRACED, "per-target", "float16"),
        (DOUBLE, "two-values", "bfloat16"),
        (DOUBLE, "two-values", "float32"),
    ],
)
def test_scan_equals_steps(kind, layout, dtype):
    # Weights that add up without rounding.
    weights, (arguments, _) = exact(6, 8), laid_out(kind, layout)
    stepped, scanned = (make(kind, weights, dtype=dtype, **arguments) for _ in range(2))
    ys, found = by_steps(stepped, XS), np.asarray(scanned.scan(XS))
    assert found.dtype == jnp.dtype(dtype)
    if dtype == "float32":
        np.testing.assert_allclose(found, ys, **AS_STEPS)
    else:
        np.testing.assert_array_equal(found, ys)
    for one, two in zip(kind.state(stepped), kind.state(scanned), strict=True):
        np.testing.assert_allclose(one, two, **AS_STEPS)


@pytest.mark.parametrize("layout", ["per-target", "two-values"])
def test_batch_axes_are_separate_modules(layout):
    arguments, xs = laid_out(TRACED, layout)[0], spikes(8, (12, 2, 5))
    together = TRACED.make(WEIGHTS, connectivity=CONNECTED, **arguments)
    together.build({"spikes": InputSpec((5,), batch=(2,))})
    found = np.asarray(together.scan(xs))
    for i in range(2):
        expected = TRACED.currents(with_zeros(WEIGHTS), xs[:, i], **arguments)
        np.testing.assert_allclose(found[:, i], expected, **CLOSE)


@every_way
def test_a_nan_weight_of_a_silent_input_stays_where_it_is(way):
    silent = XS.copy()
    silent[:, [1, 4]] = False
    module = make(TRACED, projection=way)
    module.weights.set_value(jnp.where(np.isin(PRE, [1, 4]), jnp.nan, jnp.asarray(WEIGHTS)))
    expected = TRACED.currents(with_zeros(WEIGHTS), silent)
    np.testing.assert_allclose(module.scan(silent), expected, **CLOSE)


@every_way
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_fault_in_the_scale_of_a_silent_input_stays_where_it_is(way, fault):
    xs = XS.astype("float32")
    xs[:, [1, 4]] = 0
    scale = np.arange(1.0, 6.0)[None]
    module = make(TRACED, projection=way, scale=scale, trainable="scale")
    gains = module.gains["scale"]
    gains.set_value(gains[...].at[jnp.array([1, 4])].set(fault))
    expected = TRACED.currents(with_zeros(WEIGHTS), xs, scale=scale)
    np.testing.assert_allclose(module.scan(xs), expected, **CLOSE)
    module.reset()
    xs[20, 4] = 1
    reached = POST[np.isin(PRE, 4)]
    found = np.isfinite(module.scan(xs))
    np.testing.assert_array_equal(found[19:21], [[True] * 3, ~np.isin(np.arange(3), reached)])


def test_a_kernel_that_changes_between_steps():
    module = make(TRACED)
    first = by_steps(module, XS[:15])
    module.kernel = -2 * WEIGHTS
    second = np.asarray(module.scan(XS[15:]))
    kernels = np.stack([with_zeros(WEIGHTS)] * 15 + [with_zeros(-2 * WEIGHTS)] * 25)
    expected = TRACED.currents(kernels, XS)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, **CLOSE)


def test_double_precision_module(x64):
    arguments = laid_out(TRACED, "two-values")[0]
    module = make(TRACED, dtype="float64", **arguments)
    expected = TRACED.currents(with_zeros(WEIGHTS), XS, **arguments)
    # As of the dense kernel: some tens of roundings of 1e-16.
    np.testing.assert_allclose(module.scan(XS), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("connectivity", "size"),
    [
        (RandomConnectivity(probability=0.3), None),
        (FixedFanOut(fan_out=2), 10),
    ],
)
def test_drawn_connections_carry_the_kernel(connectivity, size):
    module = TRACED.cls(units=3, connectivity=connectivity, dtype="float32", **TRACED.arguments)
    module.build(SPEC)
    assert size in (None, len(module.kernel))
    pre, post = map(np.asarray, module.connections)
    whole = with_zeros(module.kernel, pre=pre, post=post)
    np.testing.assert_allclose(module.scan(XS), TRACED.currents(whole, XS), **CLOSE)


# Training.


def loss_of(module, xs, aim):
    return jnp.sum(jnp.sin(module.scan(xs).value) * aim)


@every_way
def test_gradients_are_those_of_the_dense_module(way):
    # With respect to weights, time constant, and a scale of each input.
    arguments = {"scale": np.array([[0.5, 1.0, 2.0, 0.25, 1.0]]), "trainable": ("tau", "scale")}
    aim, xs = jnp.asarray(normal(2, (40, 3))), jnp.asarray(XS.astype(np.float32))
    sparse = make(TRACED, projection=way, **arguments)
    whole = TRACED.make(with_zeros(WEIGHTS), **arguments)
    whole.build(SPEC)
    gradient = nnx.jit(nnx.grad(loss_of, argnums=(0, 1)))
    (ours, ours_xs), (theirs, theirs_xs) = (gradient(each, xs, aim) for each in (sparse, whole))
    of_kernel = np.asarray(theirs["weights"].get_value())[PRE, POST]
    same(ours["weights"].get_value(), of_kernel)
    same(ours["current_tracer"]["tau"].get_value(), theirs["current_tracer"]["tau"].get_value())
    same(ours["gains"]["scale"].get_value(), theirs["gains"]["scale"].get_value())
    same(ours_xs, theirs_xs)
    # Inputs that never spike have a gradient too.
    assert np.all(np.asarray(ours_xs)[:, [0, 1, 3, 4]] != 0)


def test_a_scale_of_each_connection_is_trained_along_rows():
    scale = np.arange(1.0, 16).reshape(3, 5)
    module = make(TRACED, scale=scale, trainable="scale")
    assert module.gains["scale"].get_value().tolist() == scale[POST, PRE].tolist()
    aim = jnp.asarray(normal(2, (40, 3)))
    found = nnx.grad(loss_of)(module, jnp.asarray(XS), aim)["gains"]["scale"].get_value()
    # A weight and its scale are one product.
    of_weights = nnx.grad(loss_of)(make(TRACED, scale=scale), jnp.asarray(XS), aim)["weights"]
    expected = np.asarray(of_weights.get_value()) * WEIGHTS / scale[POST, PRE]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# Transforms.


def test_nnx_and_lax_transforms_keep_the_state():
    layout = laid_out(TRACED, "two-values")[0]
    by_step = make(TRACED, exact(6, 8), dtype="float16", **layout)
    expected = by_steps(by_step, XS)

    jitted = make(TRACED, exact(6, 8), dtype="float16", **layout)
    step = nnx.jit(lambda module, x: module(x).value)
    np.testing.assert_array_equal(np.stack([step(jitted, jnp.asarray(x)) for x in XS]), expected)

    split = make(TRACED, exact(6, 8), dtype="float16", **layout)
    definition, state = nnx.split(split)

    def body(state, x):
        module = nnx.merge(definition, state)
        currents = module(x)
        return nnx.state(module), currents

    _, currents = jax.jit(lambda state, xs: lax.scan(body, state, xs))(state, jnp.asarray(XS))
    np.testing.assert_array_equal(currents, expected)


def test_vmap_over_kernels():
    module = make(TRACED)
    definition, state = nnx.split(module)

    def run(state, kernel):
        each = nnx.merge(definition, state)
        each.kernel = kernel
        return each.scan(jnp.asarray(XS)).value

    kernels = jnp.asarray(np.stack([WEIGHTS, -2 * WEIGHTS]))
    every = jax.jit(jax.vmap(run, (None, 0)))(state, kernels)
    for found, weights in zip(every, kernels, strict=True):
        expected = TRACED.currents(with_zeros(weights), XS)
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_building_inside_jit():
    def build():
        return make(TRACED, exact(6, 8))

    np.testing.assert_array_equal(nnx.jit(build)().scan(XS), build().scan(XS))


def test_one_compilation_per_shape():
    base_module._step.clear_cache()
    for seed in range(3):
        # As many connections, to other targets.
        module = TracedSynapses(units=30, connectivity=FixedFanOut(fan_out=4), seed=seed)
        for x in XS[:3]:
            module(x)
        module.kernel = np.ones(20)
        module(XS[0])
    assert base_module._step._cache_size() == 1


# Procedural connectivity.


def procedural(law, units=7, fan_out=6, **kwargs):
    connectivity = ProceduralConnectivity(fan_out=fan_out, law=law)
    module = LinearSynapses(units=units, connectivity=connectivity, dtype="float32", **kwargs)
    module.build({"spikes": InputSpec((20,))})
    return module


def test_constant_weights_are_their_own_connections():
    module = procedural("constant")
    module.kernel = [2.5]
    pre, post = map(np.asarray, module.connections)
    whole = with_zeros(np.full(120, 2.5), 7, 20, pre, post)
    xs = spikes(2, (5, 20))
    # Multiples of 2.5 add up without rounding.
    np.testing.assert_array_equal(module.scan(xs), xs @ whole.T)
    np.testing.assert_array_equal(by_steps(module, xs[:3]), xs[:3] @ whole.T)
    # Nothing is there to be multiplied at once.
    other = procedural("constant", projection="dense")
    other.kernel = [2.5]
    np.testing.assert_array_equal(other.scan(xs), xs @ whole.T)


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_weights_are_linear_in_the_parameters_of_their_law(law):
    xs = spikes(2, (5, 20)).astype(np.float32)
    module, parts = procedural(law), []
    for kernel in ([1.0, 0.0], [0.0, 1.0], [3.0, -0.5]):
        module.kernel = kernel
        parts.append(np.asarray(module.scan(xs)))
    # Up to 60 terms of size 3.
    np.testing.assert_allclose(parts[2], 3 * parts[0] - 0.5 * parts[1], atol=1e-4)
    pre, post = map(np.asarray, module.connections)
    ones = xs @ with_zeros(np.ones(120), 7, 20, pre, post).T
    whole = parts[0] + parts[1] if law == "uniform" else parts[0]
    np.testing.assert_allclose(whole, ones, atol=1e-4)

    module.kernel = [3.0, -0.5]
    aim = jnp.asarray(normal(3, (5, 7)))
    found = nnx.grad(lambda module: jnp.vdot(module.scan(xs).value, aim))(module)
    expected = [np.vdot(part, aim) for part in parts[:2]]
    np.testing.assert_allclose(found["weights"].get_value(), expected, atol=1e-3)
    of_spikes = jax.grad(lambda xs: jnp.vdot(module.scan(xs).value, aim))(jnp.asarray(xs))
    # Linear in the spikes too.
    np.testing.assert_allclose(jnp.vdot(of_spikes, xs), np.vdot(parts[2], aim), atol=1e-3)


def test_what_is_drawn_does_not_depend_on_the_batch():
    xs = spikes(2, (4, 3, 20))
    together = LinearSynapses(
        units=7, connectivity=ProceduralConnectivity(fan_out=6), dtype="float32"
    )
    together.build({"spikes": InputSpec((20,), batch=(3,))})
    found = np.asarray(together.scan(xs))
    for i in range(3):
        # 120 terms below 1, in the same order, perhaps fused otherwise.
        np.testing.assert_allclose(found[:, i], procedural("uniform").scan(xs[:, i]), rtol=1e-5)

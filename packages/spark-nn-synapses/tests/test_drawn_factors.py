"""Scales drawn for each procedural connection: by their law, alike everywhere, as stored ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx
from scipy import stats

from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    Drawn,
    InputSpec,
    LogNormal,
    Normal,
    ProceduralConnectivity,
    RUTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
    Uniform,
)

from .comparing import AS_STEPS, CLOSE, by_steps, same_gradients
from .kinds import spikes

INPUTS, TARGETS, FAN_OUT = 40, 30, 7
UNLIKELY = 1e-6  # as in the tests of other draws

# Two kinds of bounds, and a tail whose quantile is drawn from above.
LAWS = {
    "uniform": (Uniform(low=-1.0, high=4.0), stats.uniform(-1, 5).cdf),
    "normal": (Normal(mean=1.0, std=0.5), stats.norm(1, 0.5).cdf),
    "redrawn": (Normal(mean=1.0, std=2.0, low=0.0), stats.truncnorm(-0.5, np.inf, 1, 2).cdf),
    "upper-tail": (Normal(mean=0.0, std=1.0, low=2.0), stats.truncnorm(2, np.inf).cdf),
    "lognormal": (LogNormal(mean=0.5, std=0.25), stats.lognorm(0.25, scale=np.exp(0.5)).cdf),
}


def made(cls=TracedSynapses, law="normal", delays=None, inputs=INPUTS, batch=(), **more):
    connectivity = ProceduralConnectivity(fan_out=FAN_OUT, law=law, delays=delays)
    kernel = np.array([2.0]) if law == "constant" else np.array([1.0, 0.5])
    options = {"kernel_initializer": kernel, "units": TARGETS, "dtype": "float32", **more}
    module = cls(connectivity=connectivity, seed=5, **options)
    module.build({"spikes": InputSpec((inputs,), batch=batch)})
    return module


def per_connection(distribution):
    return Drawn(distribution=distribution, per="connection")


@pytest.mark.parametrize("way", ["events", "dense"])
@pytest.mark.parametrize("name", LAWS)
def test_scales_are_distributed_as_their_law(name, way):
    distribution, cdf = LAWS[name]
    units, inputs = 10**6, 600
    scale = per_connection(distribution)
    module = made(law="constant", inputs=inputs, units=units, scale=scale, projection=way)
    currents = np.asarray(module(np.ones(inputs, bool)).value, np.float64)
    reached = np.bincount(np.asarray(module.connections[1]), minlength=units)
    found = currents[reached == 1] / 2.0  # of two scales a target has the sum
    assert len(found) > 4000
    assert stats.kstest(found, cdf).pvalue > UNLIKELY


def reference(module, stream):
    """Numbers in (0, 1) of a stream, of each connection: the hash of the rows in NumPy."""

    def mix(x, salt=0):
        mask = 0xFFFFFFFF
        x = x.astype(object)
        x = ((x ^ x >> 16) * 0x7FEB352D + salt) & mask
        x = ((x ^ x >> 15) * 0x846CA68B) & mask
        return x ^ x >> 16

    one, other = np.asarray(module.matrix.adjacency[0][...]).tolist()
    rows = mix(mix(np.arange(INPUTS) ^ one) + stream & 0xFFFFFFFF)
    bits = mix((np.arange(FAN_OUT) ^ other)[None], rows[:, None]) >> 9
    return (bits.astype(np.float64) + 0.5) * 2.0**-23


def weights_in_numpy(module, **distributions):
    """The weight of each connection, by the law and the scales."""
    mean, std = np.asarray(module.kernel.value, np.float64)
    basis = np.stack([np.ones((INPUTS, FAN_OUT)), scipy.special.ndtri(reference(module, 1))])
    for name, distribution in distributions.items():
        uniform = reference(module, 4 if name == "scale_2" else 3)
        quantile = scipy.special.ndtri(uniform)
        if isinstance(distribution, Uniform):
            width = distribution.high - distribution.low
            basis = basis * (distribution.low + width * uniform)
        elif isinstance(distribution, Normal):
            basis = basis * (distribution.mean + distribution.std * quantile)
        else:
            basis = basis * np.exp(distribution.mean + distribution.std * quantile)
    return (mean * basis[0] + std * basis[1]).reshape(-1), basis.reshape(2, -1)


def as_stored(module, weights, **more):
    """The same connections with these weights, stored; and their order in the rows."""
    adjacency = tuple(each[...] for each in module.matrix.adjacency)
    pre, places = map(np.asarray, module.matrix.rows.all(adjacency))
    post, steps = places % TARGETS, places // TARGETS
    order = np.lexsort((post, steps, pre))
    listed = SparseConnectivity(
        pre=pre[order],
        post=post[order],
        weights=weights[order],
        delays=1.0 * steps[order] if steps.any() else None,
    )
    stored = type(module)(units=TARGETS, connectivity=listed, dtype="float32", **more)
    stored.build({"spikes": InputSpec((INPUTS,), batch=module.batch)})
    return stored, order


LATE = Uniform(low=0.0, high=4.0)
OF_INPUTS = np.linspace(0.5, 1.5, INPUTS)[None]
CASES = {
    "traced": (TracedSynapses, {"scale": Normal(mean=1.0, std=0.5)}, {}, None),
    "late": (TracedSynapses, {"scale": LogNormal(mean=0.0, std=0.5)}, {}, LATE),
    "plastic": (RUTracedSynapses, {"scale": Uniform(low=0.5, high=2.0)}, {"R_tau": 20.0}, LATE),
    "two": (
        DoubleTracedSynapses,
        {"scale_1": Uniform(low=-1.0, high=2.0), "scale_2": Normal(mean=1.0, std=0.5)},
        {"tau_1": np.where(np.arange(INPUTS) % 3, 4.0, 9.0)[None]},
        LATE,
    ),
    "beside": (
        DoubleTracedSynapses,
        {"scale_2": Normal(mean=1.0, std=0.5)},
        {"scale_1": OF_INPUTS},
        None,
    ),
}


@pytest.mark.parametrize("way", ["events", "dense"])
@pytest.mark.parametrize("name", CASES)
def test_they_act_as_stored_weights(name, way):
    cls, scales, more, delays = CASES[name]
    drawn = {key: per_connection(each) for key, each in scales.items()}
    for batch in ((), (3,)):
        module = made(cls, delays=delays, batch=batch, projection=way, **drawn, **more)
        stored, _ = as_stored(module, weights_in_numpy(module, **scales)[0], **more)
        xs = spikes(1, (24, *batch, INPUTS), 0.2)
        np.testing.assert_allclose(by_steps(module, xs[:8]), by_steps(stored, xs[:8]), **CLOSE)
        np.testing.assert_allclose(module.scan(xs[8:]), stored.scan(xs[8:]), **CLOSE)


@pytest.mark.parametrize("way", ["events", "dense"])
@pytest.mark.parametrize("delays", [None, LATE])
def test_gradients_are_those_of_stored_weights(delays, way):
    scale = Normal(mean=1.0, std=0.5)
    module = made(delays=delays, scale=per_connection(scale), projection=way)
    weights, basis = weights_in_numpy(module, scale=scale)
    stored, order = as_stored(module, weights)
    xs = spikes(2, (30, INPUTS), 0.2) * np.random.default_rng(2).normal(size=(30, INPUTS))

    def gradients(module):
        graph, params, rest = nnx.split(module, nnx.Param, ...)

        def loss(params, xs):
            module = nnx.merge(graph, params, rest, copy=True)
            first, second = module.scan(xs[:20]).value, module.scan(xs[20:]).value
            return jnp.sum(jnp.sin(first)) + jnp.sum(second**2)

        of_params, of_xs = jax.grad(loss, (0, 1))(params, jnp.asarray(xs, jnp.float32))
        (leaf,) = jax.tree.leaves(of_params)
        return np.asarray(leaf), np.asarray(of_xs)

    found, (of_weights, of_xs) = gradients(module), gradients(stored)
    same_gradients(found, (basis[:, order] @ of_weights, of_xs))


def test_steps_equal_a_scan():
    xs = spikes(3, (12, INPUTS), 0.3)
    one, other = (made(scale=per_connection(LogNormal(mean=0.0, std=1.0))) for _ in range(2))
    np.testing.assert_allclose(by_steps(one, xs), other.scan(xs), **AS_STEPS)


def test_scales_are_independent_of_all_else_and_change_nothing_else():
    module, plain = (made(inputs=4000, **more) for more in (
        {"scale": per_connection(Uniform(low=0.0, high=1.0)), "delays": LATE},
        {"delays": LATE},
    ))  # fmt: skip
    (rows, adjacency), (bare, others) = (
        (each.matrix.rows, tuple(array[...] for array in each.matrix.adjacency))
        for each in (module, plain)
    )
    pre, place = map(np.asarray, rows.all(adjacency))
    np.testing.assert_array_equal(place, bare.all(others)[1])
    every = jnp.arange(4000)
    weight = np.asarray(bare.basis(others, every, jnp.float32))[1].reshape(-1)
    scale = np.asarray(rows.basis(adjacency, every, jnp.float32))[0].reshape(-1)
    for other in (pre, place % TARGETS, place // TARGETS, weight, np.roll(scale, 1)):
        assert abs(np.corrcoef(scale, other)[0, 1]) < 6 / np.sqrt(len(scale))
    both = made(
        DoubleTracedSynapses,
        inputs=4000,
        law="constant",
        scale_1=per_connection(Uniform(low=0.0, high=1.0)),
        scale_2=per_connection(Uniform(low=0.0, high=1.0)),
    )
    of_both = tuple(array[...] for array in both.matrix.adjacency)
    product = np.asarray(both.matrix.rows.basis(of_both, every, jnp.float32)).reshape(-1)
    assert abs(np.corrcoef(scale, product / scale)[0, 1]) < 6 / np.sqrt(len(scale))


@pytest.mark.parametrize("way", ["events", "dense"])
def test_each_name_has_its_own_numbers_also_beside_the_other(way):
    scales = {name: per_connection(Uniform(low=0.5, high=2.0)) for name in ("scale_1", "scale_2")}

    def currents(*names):
        options = {"law": "constant", "projection": way, "units": 10**6}
        module = made(DoubleTracedSynapses, **options, **{name: scales[name] for name in names})
        module(np.ones(INPUTS, bool))
        return np.asarray(module(np.zeros(INPUTS, bool)).value, np.float64)

    plain, one, other = currents(), currents("scale_1"), currents("scale_2")
    reached = plain > 0
    one, other, both = (each[reached] / plain[reached] for each in (one, other, currents(*scales)))
    assert abs(np.corrcoef(one, other)[0, 1]) < 6 / np.sqrt(reached.sum())
    alone = np.bincount(np.asarray(made(units=10**6).connections[1]), minlength=10**6)[reached] == 1
    np.testing.assert_allclose(both[alone], (one * other)[alone], rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "mean", "std"), [("float32", 800.0, 1.0), ("float16", 100.0, 0.1)]
)
def test_scales_that_are_not_finite_are_refused(dtype, mean, std):
    with pytest.raises(ValueError, match=r"scale must be finite in float32, got (inf|2.*43)"):
        made(scale=per_connection(LogNormal(mean=mean, std=std)), dtype=dtype)


@pytest.mark.parametrize("delays", [None, LATE])
@pytest.mark.parametrize("scale", [np.ones((1, 0)), Drawn(distribution=LATE, per="input")])
def test_no_inputs(scale, delays):
    module = made(inputs=0, scale=scale, delays=delays)
    np.testing.assert_array_equal(module.scan(np.ones((3, 0), bool)), np.zeros((3, TARGETS)))


def test_numbers_keep_more_digits_than_float32(x64):
    distribution = Uniform(low=0.1, high=np.pi)
    module = made(law="constant", scale=per_connection(distribution), dtype="float64")
    adjacency = tuple(array[...] for array in module.matrix.adjacency)
    found = module.matrix.rows.basis(adjacency, jnp.arange(INPUTS), jnp.dtype("float64"))[0]
    expected = 0.1 + (np.pi - 0.1) * reference(module, 3)
    # 48 binary digits, and rounding.
    np.testing.assert_allclose(found, expected, rtol=2.0**-45)
    sums = np.bincount(np.asarray(module.connections[1]), expected.reshape(-1), TARGETS)
    np.testing.assert_allclose(module(np.ones(INPUTS, bool)), 2 * sums, rtol=2.0**-44)


def test_they_are_not_trained():
    scale = per_connection(Uniform(low=0.0, high=1.0))
    with pytest.raises(ValueError, match="procedural connections are not stored, and scale drawn"):
        made(scale=scale, trainable="scale")
    # The kernel is, and others beside them.
    made(DoubleTracedSynapses, scale_1=scale, scale_2=OF_INPUTS, trainable="scale_2")


def test_sizes_of_a_damaged_file_are_refused():
    module = made(scale=per_connection(Uniform(low=0.0, high=1.0)), projection="events")
    sizes = module.matrix.adjacency[1]
    sizes.set_value(sizes[...].at[4].set(5))
    with pytest.raises(Exception, match="connections lead to no target"):
        jax.block_until_ready(module(np.ones(INPUTS, bool)).value)


def test_a_build_inside_jit_draws_the_same():
    options = {"scale": per_connection(Normal(mean=1.0, std=0.5))}
    spike = np.ones(INPUTS, bool)
    inside = jax.jit(lambda x: made(**options)(x).value)(spike)
    np.testing.assert_allclose(inside, made(**options)(spike).value, **AS_STEPS)

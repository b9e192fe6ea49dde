"""Initializers: what their kernels are made of, and an initializer by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers as of_jax
from scipy import stats

from spark.nn import initializers
from spark.nn.configs import ConfigError
from spark.nn.initializers import KernelInitializerConfig, sparse_normalized, sparse_uniform

KEY = jax.random.key(0)
REQUIRED = {
    "constant": {"value": 2.0},
    "variance_scaling": {"scale": 1.0, "mode": "fan_in", "distribution": "normal"},
}
NAMES = [name for name in initializers.__all__ if name.islower()]  # not the types
every_name = pytest.mark.parametrize("name", NAMES)
HALF = ("float16", "bfloat16")


def config(name, **parameters):
    return KernelInitializerConfig(name=name, **{**REQUIRED.get(name, {}), **parameters})


def test_initializers_of_jax_draw_as_in_jax():
    theirs = [name for name in NAMES if not name.startswith("sparse")]
    assert all(getattr(initializers, name) is getattr(of_jax, name) for name in theirs)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_sparse_uniform_has_its_density_and_its_range(dtype):
    kernel = sparse_uniform(density=0.3, minimum=-1.0, maximum=3.0)(KEY, (200, 200), dtype)
    assert kernel.dtype == dtype
    entries = np.asarray(kernel, float)
    entries = entries[entries != 0]
    # 40 000 Bernoulli draws: five standard errors.
    assert abs(entries.size / 40_000 - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 40_000)
    assert stats.kstest(entries, stats.uniform(-1, 4).cdf).pvalue > 1e-3


def test_density_0_is_empty_and_density_1_is_full():
    for density in (0.0, 1.0):
        kernel = sparse_uniform(density, minimum=1.0, maximum=2.0)(KEY, (200, 200))
        assert (np.asarray(kernel) != 0).mean() == density


@pytest.mark.parametrize(
    ("density", "dtype"), [(0.0, "float32"), (0.02, "bfloat16"), (0.5, "float16"), (1.0, "float32")]
)
def test_sparse_normalized_sums_to_its_total(density, dtype):
    kernel = sparse_normalized(density, total=-4.0, target_axes=2)(KEY, (8, 5, 10, 6), dtype)
    entries = np.asarray(kernel, float).reshape(40, 60)
    # 60 terms summed in float32, and entries that sum to the total rounded to the dtype.
    tolerance = 4 * (60 * 2**-24 + float(jnp.finfo(dtype).eps) / 2)
    np.testing.assert_allclose(entries.sum(axis=1), -4.0, rtol=0, atol=tolerance)
    present = (entries != 0).sum(axis=1)
    assert present.min() >= 1
    if density in (0.0, 1.0):
        assert (present == max(1, 60 * density)).all()
    else:
        # A target that would have no entry gets one.
        expected = 60 * density + (1 - density) ** 60
        assert abs(present.mean() - expected) < 5 * np.sqrt(60 * density / 40)


def test_draws_differ_by_key_and_not_by_dtype():
    for make in (sparse_uniform(), sparse_normalized()):
        kernel = np.asarray(make(KEY, (4, 5)))
        assert not np.array_equal(kernel, make(jax.random.key(1), (4, 5)))
        # Half precision is that of float32, rounded.
        np.testing.assert_array_equal(make(KEY, (4, 5), jnp.float16), kernel.astype(np.float16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sparse_uniform(1.5), r"density must lie in \[0, 1\], got 1.5"),
        (lambda: sparse_uniform(np.nan), r"density must lie in \[0, 1\], got nan"),
        (lambda: sparse_uniform(minimum=2.0), "must be finite and ascend, got 2.0 and 1.0"),
        (lambda: sparse_uniform(maximum=np.inf), "must be finite and ascend"),
        (lambda: sparse_normalized(-0.1), r"density must lie in \[0, 1\]"),
        (lambda: sparse_normalized(total=np.nan), "total must be finite, got nan"),
        (lambda: sparse_normalized(target_axes=3)(KEY, (2, 2)), "3 target axes .* shape"),
    ],
)
def test_sparse_initializers_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@every_name
def test_a_config_fills_a_kernel_in_half_precision_and_with_several_target_axes(name):
    made = config(name)
    kernel = np.asarray(made(KEY, (4, 5), "float16"))
    assert (kernel.shape, kernel.dtype) == ((4, 5), np.float16)
    assert np.isfinite(kernel).all()
    # The kernel is a matrix of targets by inputs, whatever the axes of either.
    whole = np.asarray(made.make(2)(KEY, (2, 2, 5)))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole.reshape(4, 5).astype(np.float16), kernel)


def test_a_config_fills_every_shape_and_dtype():
    made = config("sparse_uniform")
    for dtype in ("float32", *HALF):
        assert made(KEY, (4, 5), dtype).dtype == jnp.dtype(dtype)
    for shape, target_axes in (((2, 2, 5), 2), ((4,), 1), ((0, 4), 1), ((4, 0), 1), ((0,), 1)):
        kernel = made.make(target_axes)(KEY, shape, jnp.float16)
        assert (kernel.shape, kernel.dtype) == (shape, jnp.float16)


@every_name
def test_a_config_round_trips(name, tmp_path):
    made = config(name)
    assert made.to_dict() == {"name": name, **made.parameters}
    made.to_file(tmp_path / "initializer.json")
    read = KernelInitializerConfig.from_file(tmp_path / "initializer.json")
    assert read == made
    assert hash(read) == hash(made)


@pytest.mark.parametrize("name", ["lecun_normal", "glorot_uniform", "he_normal"])
def test_fan_in_is_the_number_of_inputs(name):
    targets, inputs = 10, 1000
    fan = {"lecun": inputs, "he": inputs / 2, "glorot": (targets + inputs) / 2}
    kernel = config(name)(KEY, (targets, inputs), jnp.float32)
    # 10 000 draws: the standard error of a variance is at most sqrt(2 / 10 000) of it.
    assert kernel.var() * fan[name.split("_")[0]] == pytest.approx(1, abs=5 * np.sqrt(2e-4))


def test_orthogonal_rows_in_half_precision():
    kernel = np.asarray(config("orthogonal").make(2)(KEY, (2, 2, 3, 3), jnp.float16), float)
    matrix = kernel.reshape(4, 9)
    # A sum of nine products of entries, each known to float16.
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=9 * 2**-11)


def test_a_config_keeps_defaults_and_compares_by_content():
    made = KernelInitializerConfig()
    assert made.name == "sparse_uniform"
    assert made.parameters == {"density": 0.2, "minimum": 0.0, "maximum": 1.0}
    assert made == KernelInitializerConfig(name="sparse_uniform", density=0.2)
    assert made != KernelInitializerConfig(density=0.3)
    assert made.replace(density=0.3).parameters["density"] == 0.3
    expected = sparse_uniform()(KEY, (4, 5), jnp.float32)
    np.testing.assert_array_equal(made(KEY, (4, 5), jnp.float32), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "sparse_unform"},
            "name: unknown .* 'sparse_unform'.* mean 'sparse_uniform'.* he_",
        ),
        ({"name": 3}, "name must be a string, got 3"),
        ({"name": "zeros", "scale": 1}, "unknown field 'scale'. Known ones: none"),
        ({"density": 2}, "density must be less than or equal to 1, got 2"),
        ({"density": "a"}, "density must be a valid number, got 'a'"),
        ({"denstiy": 0.1}, r"did you mean 'density'\? Known ones: density, minimum, maximum"),
        ({"minimum": 2.0}, "minimum and maximum must be finite and ascend"),
        ({"maximum": np.inf}, "maximum must be a finite number, got inf"),
        ({"name": "constant"}, "value is missing"),
        ({"name": "normal", "stddev": -1}, "stddev must be greater than or equal to 0, got -1"),
        ({"name": "variance_scaling", "scale": 1.0, "mode": "fan"}, "mode must be 'fan_in', 'fan"),
    ],
)
def test_a_wrong_config_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        KernelInitializerConfig(**fields)


def test_a_kernel_with_too_few_axes_is_refused():
    with pytest.raises(ValueError, match=r"2 target axes cannot have shape \(3,\)"):
        KernelInitializerConfig().make(2)(KEY, (3,))


def test_a_config_fills_under_jit():
    made = config("sparse_normalized")
    expected = made(KEY, (4, 5), jnp.float16)
    found = jax.jit(lambda key: made(key, (4, 5), jnp.float16))(KEY)
    # The division may be fused: one unit in the last place of float16.
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=2**-10)


@pytest.mark.parametrize(
    "fill", [sparse_uniform(), sparse_normalized(), config("sparse_uniform").make(2)]
)
def test_a_kernel_is_sharded_as_asked(fill):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    spec = jax.sharding.PartitionSpec("x", None, None)
    with jax.set_mesh(mesh):
        kernel = fill(KEY, (4, 3, 2), jnp.float16, out_sharding=spec)
    assert kernel.sharding.spec == spec
    np.testing.assert_array_equal(kernel, fill(KEY, (4, 3, 2), jnp.float16))

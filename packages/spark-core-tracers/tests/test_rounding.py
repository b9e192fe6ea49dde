"""Rounding against ml_dtypes' casts and against the law of large numbers."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from spark.core.tracers import Noise, Tracer, _rounding
from spark.core.tracers._dtypes import bound

round_to = jax.jit(_rounding.round_to, static_argnums=0)
random_bits = jax.jit(_rounding.random_bits, static_argnums=(1, 2))

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
every_half = pytest.mark.parametrize("dtype", HALVES)


def noise(seed=0, count=0, element=None):
    return Noise(jax.random.key(seed), jnp.uint32(count), element)


def values(dtype, seed=0, size=20_000):
    """Values over the whole range of a dtype, both signs; for float16 subnormals too."""
    low = -26 if dtype == "float16" else -100
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], size) * 2.0 ** rng.uniform(low, 15.9, size)).astype(np.float32)


@every_half
def test_nearest_equals_the_cast(dtype):
    y = values(dtype)
    kept = round_to(jnp.dtype(dtype), jnp.asarray(y))
    np.testing.assert_array_equal(np.asarray(kept), y.astype(HALVES[dtype]).astype(np.float32))


@every_half
def test_stochastic_gives_one_of_the_two_neighbours(dtype):
    y = values(dtype)
    bits = random_bits(noise(), 0, y.shape)
    kept = np.asarray(round_to(jnp.dtype(dtype), jnp.asarray(y), bits))
    half = kept.astype(HALVES[dtype])
    np.testing.assert_array_equal(half.astype(np.float32), kept)  # representable
    up = np.nextafter(half, HALVES[dtype](np.inf)).astype(np.float32)
    down = np.nextafter(half, HALVES[dtype](-np.inf)).astype(np.float32)
    assert np.all((down < y) & (y < up))


@every_half
@pytest.mark.parametrize("y", [1.0003, -0.7001, 3.3e-6, 1e-7, -4e-8, 2.0**-14 - 2.0**-26, 300.1])
def test_stochastic_has_no_bias(dtype, y):
    n = 1 << 16
    bits = random_bits(noise(3), 0, (n,))
    kept = round_to(jnp.dtype(dtype), jnp.full(n, y, jnp.float32), bits)
    kept = np.asarray(kept, np.float64)
    spread = kept.max() - kept.min()
    # The mean of n draws of two neighbours: five standard errors, each at most spread/2/sqrt(n).
    assert abs(kept.mean() - np.float32(y)) <= 5 * spread / 2 / np.sqrt(n)
    assert spread > 0


@every_half
def test_representable_values_stay(dtype):
    y = values(dtype).astype(HALVES[dtype]).astype(np.float32)
    bits = random_bits(noise(), 0, y.shape)
    for kept in (
        round_to(jnp.dtype(dtype), jnp.asarray(y)),
        round_to(jnp.dtype(dtype), jnp.asarray(y), bits),
    ):
        np.testing.assert_array_equal(np.asarray(kept), y)


@every_half
@pytest.mark.parametrize("stochastic", [False, True])
def test_the_largest_values_and_faults_keep(dtype, stochastic):
    largest = float(ml_dtypes.finfo(HALVES[dtype]).max)
    y = jnp.array([largest, -largest, np.inf, -np.inf, np.nan], jnp.float32)
    bits = random_bits(noise(), 0, y.shape) if stochastic else None
    np.testing.assert_array_equal(np.asarray(round_to(jnp.dtype(dtype), y, bits)), np.asarray(y))


def test_bound_saturates_and_lets_nan_pass():
    y = jnp.array([3e38, -3e38, np.inf, -np.inf, np.nan, 5.0], jnp.float32)
    expected = [65504, -65504, 65504, -65504, np.nan, 5]
    np.testing.assert_array_equal(np.asarray(bound(y, (-65504.0, 65504.0))), expected)
    gradient = jax.grad(lambda y: bound(y, (0.0, 1.0)).sum())(y)
    np.testing.assert_array_equal(np.asarray(gradient), np.ones(6))


@every_half
@pytest.mark.parametrize("stochastic", [False, True])
def test_rounding_is_straight_through(dtype, stochastic):
    y = jnp.array([1.0003, 1e-7, 6e4, -2.2], jnp.float32)
    bits = random_bits(noise(), 0, y.shape) if stochastic else None
    gradient = jax.grad(lambda y: (round_to(jnp.dtype(dtype), y, bits) * jnp.arange(4.0)).sum())(y)
    np.testing.assert_array_equal(np.asarray(gradient), np.arange(4.0))


def test_float32_is_not_rounded():
    y = values("bfloat16")
    np.testing.assert_array_equal(np.asarray(round_to(jnp.dtype("float32"), jnp.asarray(y))), y)


def test_bits_are_uniform_and_uncorrelated():
    n = 1 << 16
    steps = np.stack([np.asarray(random_bits(noise(1, count), 0, (n,))) for count in range(8)])
    unit = steps / 2.0**32
    assert abs(unit.mean() - 0.5) < 5 / np.sqrt(12 * unit.size)  # five standard errors
    ones = np.unpackbits(steps.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 5 / 2 / np.sqrt(32 * steps.size)
    flat = (unit - 0.5) * np.sqrt(12)
    for lag in (1, 2, 64):
        assert abs((flat[:, lag:] * flat[:, :-lag]).mean()) < 5 / np.sqrt(8 * n)  # over elements
    for lag in (1, 2, 5):
        assert abs((flat[lag:] * flat[:-lag]).mean()) < 5 / np.sqrt((8 - lag) * n)  # over steps


def test_bits_depend_on_key_count_and_stream():
    draws = [
        np.asarray(random_bits(noise(seed, count), stream, (1000,)))
        for seed, count, stream in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert (a == b).mean() < 0.01


def test_a_part_draws_what_the_whole_draws():
    whole = np.asarray(random_bits(noise(), 0, (4, 6)))
    element = jnp.arange(24, dtype=jnp.uint32).reshape(4, 6)
    part = random_bits(noise(element=element[1:3, 2:]), 0, (2, 4))
    np.testing.assert_array_equal(np.asarray(part), whole[1:3, 2:])


def test_bits_of_a_known_case():
    # Written down once: the same bits on every backend and in every later version.
    bits = random_bits(noise(42, 7), 1, (3,))
    assert [f"{int(b):08x}" for b in bits] == ["cd43532e", "b37e4c60", "ef12ff88"]


def test_all_64_bits_of_a_seed_count():
    keys = [
        jax.random.key_data(Tracer(1, tau=5.0, seed=seed).rng.key[...]).tolist()
        for seed in (5, 5 + 2**32, 5 + 2**33, 5 - 2**32)
    ]
    assert len(set(map(tuple, keys))) == 4

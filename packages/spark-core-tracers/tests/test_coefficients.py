"""Coefficients against high-precision arithmetic."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from spark.core.tracers import _coefficients

mpmath.mp.dps = 60

coupling = jax.jit(_coefficients.coupling)
gradient_of_coupling = jax.jit(jax.grad(_coefficients.coupling, argnums=(0, 1)))

RATIOS = [1.0, 1 + 1e-12, 1 - 1e-7, 1.01, 0.5, 3.0, 1e-3, 1e4, 1e-9, 1e9]


def exact_coupling(tau_1, tau_2, dt):
    a, c, dt = 1 / mpmath.mpf(tau_1), 1 / mpmath.mpf(tau_2), mpmath.mpf(dt)
    if a == c:
        return dt * mpmath.exp(-dt * a)
    return (mpmath.exp(-dt * a) - mpmath.exp(-dt * c)) / (c - a)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("tau", [1e-3, 0.3, 1.0, 20.0, 1e5])
def test_coupling_is_right_at_equal_near_and_extreme_taus(x64, tau, ratio):
    result = coupling(jnp.float64(tau), jnp.float64(tau * ratio), 0.5)
    # exp(-x) has a relative error of x * eps; x is at most dt / min(tau).
    tolerance = 2e-15 * (4 + 0.5 / max(tau, tau * ratio))
    assert float(result) == pytest.approx(
        float(exact_coupling(tau, tau * ratio, 0.5)), rel=tolerance
    )


@pytest.mark.parametrize("ratio", RATIOS)
def test_coupling_in_float32_keeps_its_digits(ratio):
    tau_1, tau_2 = np.float32(10), np.float32(10 * ratio)
    result = coupling(jnp.float32(tau_1), jnp.float32(tau_2), 1.0)
    # A few roundings of float32 (6e-8 each).
    assert float(result) == pytest.approx(
        float(exact_coupling(float(tau_1), float(tau_2), 1)), rel=5e-7
    )


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-9, 1.3, 0.01, 40.0, 1e6])
def test_derivatives_of_coupling(x64, ratio):
    tau_1, tau_2 = 10.0, 10.0 * ratio
    gradient = gradient_of_coupling(jnp.float64(tau_1), jnp.float64(tau_2), 1.0)
    for argument in (0, 1):
        at = [mpmath.mpf(tau_1), mpmath.mpf(tau_2)]

        def along(tau, argument=argument, at=at):
            return exact_coupling(*[tau if i == argument else t for i, t in enumerate(at)], 1)

        # mpmath differentiates numerically with 60 digits; the rest is float64 rounding.
        expected = float(mpmath.diff(along, at[argument], h=mpmath.mpf(10) ** -20))
        assert float(gradient[argument]) == pytest.approx(expected, rel=1e-11, abs=1e-25)


def test_second_derivative_of_coupling_at_equal_taus(x64):
    second = jax.jit(jax.grad(jax.grad(_coefficients.coupling)))(
        jnp.float64(10), jnp.float64(10), 1.0
    )
    expected = mpmath.diff(lambda tau: exact_coupling(tau, 10, 1), 10, 2, h=mpmath.mpf(10) ** -12)
    assert float(second) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("tau", [1e-2, 1.0, 5e3, 1e5, 1e7])
def test_complement_keeps_its_digits_in_float32(tau):
    result = _coefficients.decay(jnp.float32(tau), 1.0, "exact").lost
    expected = -mpmath.expm1(-1 / mpmath.mpf(float(np.float32(tau))))
    assert float(result) == pytest.approx(float(expected), rel=3e-7)  # three float32 roundings


def test_euler_complement_and_decay():
    assert float(_coefficients.decay(jnp.float32(4), 1.0, "euler").lost) == 0.25
    assert float(_coefficients.decay(jnp.float32(4), 1.0, "euler").left) == 0.75


def test_exact_decay():
    decay = _coefficients.decay(jnp.float32(4), 1.0, "exact").left
    assert float(decay) == pytest.approx(np.exp(-0.25), rel=1e-7)

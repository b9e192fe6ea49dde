"""The references against closed forms, SciPy and published numbers: nothing here is the library."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.signal import lfilter

from spark.bench.conform import references


def impulse(steps):
    return np.eye(1, steps)[0]


def test_exponential_is_the_closed_form():
    t = np.arange(50)
    assert references.exponential(impulse(50), 7.0) == pytest.approx(np.exp(-t / 7.0), rel=1e-12)


def test_exponential_is_a_first_order_filter():
    xs = np.random.default_rng(0).random((300, 4))
    expected = lfilter([1.0], [1.0, -np.exp(-0.5 / 7.0)], xs, axis=0)
    assert references.exponential(xs, 7.0, dt=0.5) == pytest.approx(expected, rel=1e-12)


def test_saturable_stays_within_its_range():
    assert references.saturable(np.ones(5), 7.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("tau_1", "tau_2"), [(3.0, 20.0), (20.0, 3.0), (0.5, 500.0)])
def test_double_is_the_dual_exponential(tau_1, tau_2):
    t = np.arange(200)
    expected = (np.exp(-t / tau_1) - np.exp(-t / tau_2)) / (1 / tau_2 - 1 / tau_1)
    # Absolute: the two exponentials cancel near t = 0.
    assert references.double(impulse(200), tau_1, tau_2) == pytest.approx(expected, abs=1e-11)


def test_double_of_equal_time_constants_is_the_alpha_function():
    t = np.arange(100)
    expected = t * np.exp(-t / 8.0)
    assert references.double(impulse(100), 8.0, 8.0) == pytest.approx(expected, rel=1e-11)


def test_plasticity_is_the_differential_equation_with_jumps():
    parameters = {"R_tau": 200.0, "U_tau": 80.0, "scale_U": 0.3}
    at = [3, 10, 11, 60]
    xs = np.zeros(80)
    xs[at] = 1
    released, state, before = [], np.array([0.0, 1.0]), -1
    for step in at:
        flow = solve_ivp(
            lambda t, y: [-y[0] / 80.0, (1 - y[1]) / 200.0],
            (0, step - before),
            state,
            rtol=1e-11,
            atol=1e-13,
        )
        U, R = flow.y[:, -1]
        U += 0.3 * (1 - U)
        released.append(U * R)
        state, before = np.array([U, R - U * R]), step
    # The solver's tolerance.
    assert references.plasticity(xs, **parameters)[at] == pytest.approx(released, rel=1e-9)
    assert np.count_nonzero(references.plasticity(xs, **parameters)) == len(at)

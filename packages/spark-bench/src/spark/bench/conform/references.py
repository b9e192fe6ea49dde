"""References: the equations in float64 and plain NumPy, one step at a time.

Written from the equations, not from the code that is checked. A step covers `(t, t + dt]`, and its
input is an impulse at the end of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Series: TypeAlias = np.ndarray[Any, Any]
"""Values over time, time first."""


def exponential(
    xs: Series, tau: float, dt: float = 1.0, low: float = -np.inf, high: float = np.inf
) -> Series:
    """`tau du/dt = -u`, `u += x` at each input, clipped to a range after it."""
    u = np.zeros(xs.shape[1:])
    values = np.empty(xs.shape)
    for t, x in enumerate(xs):
        u = np.clip(u * np.exp(-dt / tau) + x, low, high)
        values[t] = u
    return values


def saturable(xs: Series, tau: float, dt: float = 1.0) -> Series:
    """The same, clipped to [0, 1]."""
    return exponential(xs, tau, dt, 0.0, 1.0)


def double(xs: Series, tau_1: float, tau_2: float, dt: float = 1.0) -> Series:
    """A cascade: `tau_1 du1/dt = -u1`, `u1 += x`; `du2/dt = -u2/tau_2 + u1`.

    From step to step by the matrix exponential of the cascade; the coupling is an integral, taken
    numerically, so that nothing special happens at equal time constants.
    """
    decay_1, decay_2 = np.exp(-dt / tau_1), np.exp(-dt / tau_2)
    # exp(-(dt - s)/tau_2) exp(-s/tau_1) over s in [0, dt]; Gauss-Legendre on pieces, each shorter
    # than either time constant, is exact to rounding.
    pieces = max(1, int(np.ceil(dt / min(tau_1, tau_2))))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(0, dt, pieces + 1)
    half = dt / pieces / 2
    s = (edges[:-1, None] + half * (nodes + 1)).ravel()
    coupling = np.sum(
        half * np.tile(weights, pieces) * np.exp(-(dt - s) / tau_2) * np.exp(-s / tau_1)
    )
    u1, u2 = np.zeros((2, *xs.shape[1:]))
    values = np.empty(xs.shape)
    for t, x in enumerate(xs):
        u2 = decay_2 * u2 + coupling * u1
        u1 = decay_1 * u1 + x
        values[t] = u2
    return values


def plasticity(xs: Series, R_tau: float, U_tau: float, scale_U: float, dt: float = 1.0) -> Series:
    """The release of each input; 0 where there is none.

    `dU/dt = -U/U_tau`, `dR/dt = (1 - R)/R_tau`; at an input `U += scale_U (1 - U) x`, then `U R x`
    is released, then `R -= U R x`.

    References:
        Tsodyks, Pawelzik and Markram (1998), Neural Computation 10:821-835, eqs. 2.1 to 2.5.
    """
    U, R = np.zeros(xs.shape[1:]), np.ones(xs.shape[1:])
    values = np.empty(xs.shape)
    for t, x in enumerate(xs):
        U = U * np.exp(-dt / U_tau)
        R = 1 - (1 - R) * np.exp(-dt / R_tau)
        U = U + scale_U * (1 - U) * x
        values[t] = U * R * x
        R = R - values[t]
    return values


def sparse(
    spikes: Series,
    pre: Series,
    post: Series,
    weights: Series,
    targets: int,
    tau: float,
    dt: float = 1.0,
) -> Series:
    """The trace of spikes through connections that are listed."""
    drive = np.zeros((len(spikes), targets))
    for t, spiking in enumerate(spikes):
        on = spiking[pre]
        drive[t] = np.bincount(post[on], weights[on], targets)
    return exponential(drive, tau, dt)


def delayed(spikes: Series, kernel: Series, delays: Series, tau: float, dt: float = 1.0) -> Series:
    """The trace of a product in which each spike reaches each target after a delay of its own."""
    drive = np.zeros((len(spikes), len(kernel)))
    for target, row in enumerate(np.rint(delays / dt).astype(int)):
        for source, delay in enumerate(row):
            spiking = spikes[: len(spikes) - delay, source]
            drive[delay:, target] += kernel[target, source] * spiking
    return exponential(drive, tau, dt)


def plastic(
    spikes: Series,
    kernel: Series,
    R_tau: float,
    U_tau: float,
    scale_U: float,
    tau: float,
    dt: float = 1.0,
) -> Series:
    """The trace of the product of a kernel and the release of the inputs."""
    released = plasticity(spikes, R_tau, U_tau, scale_U, dt)
    return current(released, kernel, tau, dt)


def current(spikes: Series, kernel: Series, tau: float, dt: float = 1.0) -> Series:
    """The trace of the product of a kernel, `(post, pre)`, and spikes, `(time, ..., pre)`."""
    return exponential(spikes.astype(np.float64) @ kernel.astype(np.float64).T, tau, dt)


def largest_error(found: Series, expected: Series) -> float:
    """Largest difference, relative to the largest value; infinite where NaN or misshapen."""
    if found.shape != expected.shape:
        return float("inf")
    largest = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
    return float(largest) if np.isfinite(largest) else float("inf")

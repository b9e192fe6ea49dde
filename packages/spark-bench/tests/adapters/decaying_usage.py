"""Wrong on purpose: usage rests at 0 but starts at U, so that it decays before the first spike."""

import numpy as np

NAME = "decaying usage"
DISTRIBUTIONS = ("numpy",)


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    def run():
        U, R = np.full(xs.shape[1:], scale_U), np.ones(xs.shape[1:])
        every = np.empty(xs.shape)
        for t, x in enumerate(xs):
            U, R = U * np.exp(-dt / U_tau), 1 - (1 - R) * np.exp(-dt / R_tau)
            U = U + scale_U * (1 - U) * x
            every[t] = U * R * x
            R = R - every[t]
        return every

    return run

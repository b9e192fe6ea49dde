"""Wrong on purpose: decays by Euler's method."""

import numpy as np

NAME = "Euler"
DISTRIBUTIONS = ("numpy",)


def exponential(xs, *, tau, dt, dtype, keep):
    def run():
        y, every = np.zeros(xs.shape[1:]), np.empty(xs.shape)
        for t, x in enumerate(xs):
            y = (1 - dt / tau) * y + x
            every[t] = y
        return every

    return run

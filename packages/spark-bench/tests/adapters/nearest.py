"""Wrong on purpose: rounds its state to the nearest float16 at each step."""

import numpy as np

NAME = "nearest"
DISTRIBUTIONS = ("numpy",)


def exponential(xs, *, tau, dt, dtype, keep):
    def run():
        y, every = np.zeros(xs.shape[1:], dtype), np.empty(xs.shape)
        for t, x in enumerate(xs):
            y = (np.exp(-dt / tau) * y.astype(np.float64) + x).astype(dtype)
            every[t] = y
        return every

    return run

"""Wrong on purpose: its second run starts where the first has ended, and another kind breaks."""

import numpy as np

NAME = "leftover"
DISTRIBUTIONS = ("numpy",)


def exponential(xs, *, tau, dt, dtype, keep):
    y = np.zeros(xs.shape[1:])

    def run():
        nonlocal y
        every = np.empty(xs.shape)
        for t, x in enumerate(xs):
            y = np.exp(-dt / tau) * y + x
            every[t] = y
        return every

    return run


def saturable(xs, *, tau, dt, dtype, keep):
    raise RuntimeError("this one is broken")


def double(xs, *, tau_1, tau_2, dt, dtype, keep):
    raise NotImplementedError("no double trace here")

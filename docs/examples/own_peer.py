"""A peer: a trace and a synapse by a loop in NumPy."""

import numpy as np

NAME = "A loop in NumPy"
DISTRIBUTIONS = ("numpy",)


def exponential(xs, *, tau, dt, dtype, keep):
    """The trace of inputs, time first."""
    if dtype not in ("float32", "float64"):
        raise NotImplementedError("the loop is in double precision")
    decay, inputs = np.exp(-dt / tau), xs.astype(np.float64)

    def run():
        trace, every = np.zeros(xs.shape[1:]), np.empty_like(inputs)
        for step, x in enumerate(inputs):
            trace = decay * trace + x
            every[step] = trace
        return every if keep == "every" else trace

    return run


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """The trace of `kernel @ spikes`."""
    drive = spikes.astype(np.float64) @ kernel.T
    return exponential(drive, tau=tau, dt=dt, dtype=dtype, keep=keep)

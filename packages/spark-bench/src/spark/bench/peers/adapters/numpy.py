"""NumPy and SciPy: the rows of the inputs that spike, added up; a digital filter for the trace."""

import numpy as np
from scipy.signal import lfilter

NAME = "NumPy and SciPy"
DISTRIBUTIONS = ("numpy", "scipy")


def exponential(xs, *, tau, dt, dtype, keep):
    """SciPy's `lfilter` where all values are wanted, a loop where only the last is."""
    if dtype not in ("float32", "float64"):
        raise NotImplementedError("lfilter computes in single precision at least")
    decay = np.float32(np.exp(-dt / tau))
    if keep == "every":
        inputs = xs.astype(dtype)
        return lambda: lfilter([1.0], [1.0, -decay], inputs, axis=0)

    def run():
        y = np.zeros(xs.shape[1:], dtype)
        for x in xs:
            y *= decay
            y += x
        return y

    return run


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """Only the rows of inputs that spike are read."""
    rows = np.ascontiguousarray(kernel.T.astype(dtype))
    decay = np.float32(np.exp(-dt / tau))
    shape = (*spikes.shape[1:-1], kernel.shape[0])

    def run():
        y = np.zeros(shape, dtype)
        every = np.empty((len(spikes), *shape), dtype)
        for t, s in enumerate(spikes):
            y *= decay
            if s.ndim == 1:
                y += rows[s].sum(0)
            else:
                y += s.astype(dtype) @ rows
            every[t] = y
        return every if keep == "every" else y

    return run

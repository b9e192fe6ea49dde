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


def sparse(spikes, pre, post, weights, *, targets, tau, dt, dtype, keep):
    """Only the connections of inputs that spike are counted, by `bincount`."""
    starts = np.searchsorted(pre, np.arange(spikes.shape[1] + 1))
    decay = np.float32(np.exp(-dt / tau))

    def run():
        y = np.zeros(targets, dtype)
        every = np.empty((len(spikes), targets), dtype) if keep == "every" else None
        for t, s in enumerate(spikes):
            rows = [slice(starts[j], starts[j + 1]) for j in np.flatnonzero(s)]
            y *= decay
            if rows:
                where = np.concatenate([post[row] for row in rows])
                drive = np.concatenate([weights[row] for row in rows])
                y += np.bincount(where, drive, targets)
            if every is not None:
                every[t] = y
        return y if every is None else every

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

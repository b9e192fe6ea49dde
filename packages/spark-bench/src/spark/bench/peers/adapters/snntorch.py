"""snnTorch: a `Leaky` neuron that does not reset, whose membrane is the trace; a loop in Python."""

import numpy as np
import snntorch
import torch

NAME = "snnTorch"
DISTRIBUTIONS = ("snntorch", "torch")

torch.set_grad_enabled(False)


def exponential(xs, *, tau, dt, dtype, keep):
    """`Leaky` on the input itself."""
    return _looped(lambda x: x, torch.from_numpy(xs), xs.shape[1:], tau, dt, dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """A dense product, and `Leaky`."""
    weights = torch.from_numpy(kernel).to(getattr(torch, dtype))
    shape = (*spikes.shape[1:-1], kernel.shape[0])
    inputs = torch.from_numpy(spikes)
    return _looped(
        lambda s: torch.nn.functional.linear(s, weights), inputs, shape, tau, dt, dtype, keep
    )


def _looped(drive, inputs, shape, tau, dt, dtype, keep):
    dtype = getattr(torch, dtype)
    neuron = snntorch.Leaky(
        beta=torch.tensor(np.exp(-dt / tau), dtype=dtype), threshold=1e9, reset_mechanism="none"
    )

    def run():
        membrane = torch.zeros(shape, dtype=dtype)
        every = torch.empty((len(inputs), *shape), dtype=dtype) if keep == "every" else None
        for t, x in enumerate(inputs):
            _, membrane = neuron(drive(x.to(dtype)), membrane)
            if every is not None:
                every[t] = membrane
        return (membrane if every is None else every).float()

    return run

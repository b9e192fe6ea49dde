"""Norse: its exponential filter and its Tsodyks-Markram step, in loops in Python."""

import math

import torch
from norse.torch.functional.filter import exp_filter_step
from norse.torch.functional.tsodyks_makram import (
    TsodyksMakramParameters,
    TsodyksMakramState,
    stp_step,
)

NAME = "Norse"
DISTRIBUTIONS = ("norse", "torch")
CONVENTION = "plasticity: Euler steps, and jumps from the state before the step's decay"

torch.set_grad_enabled(False)


def exponential(xs, *, tau, dt, dtype, keep):
    """`exp_filter_step` on the input itself."""
    return _filtered(lambda x: x, torch.from_numpy(xs), xs.shape[1:], tau, dt, dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """A dense product, and `exp_filter_step`: `ExpFilter`, one step at a time."""
    weights = torch.from_numpy(kernel).to(getattr(torch, dtype))
    shape = (*spikes.shape[1:-1], kernel.shape[0])
    inputs = torch.from_numpy(spikes)
    return _filtered(
        lambda s: torch.nn.functional.linear(s, weights), inputs, shape, tau, dt, dtype, keep
    )


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    """`stp_step`."""
    dtype = getattr(torch, dtype)
    inputs = torch.from_numpy(xs)
    parameters = TsodyksMakramParameters(tau_f_inv=1 / U_tau, tau_d_inv=1 / R_tau, U=scale_U)

    def run():
        shape = inputs.shape[1:]
        state = TsodyksMakramState(torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype))
        every = torch.empty(inputs.shape, dtype=dtype) if keep == "every" else None
        for t, x in enumerate(inputs):
            released, state = stp_step(x.to(dtype), state, parameters, dt)
            if every is not None:
                every[t] = released
        return (released if every is None else every).float()

    return run


def _filtered(drive, inputs, shape, tau, dt, dtype, keep):
    dtype = getattr(torch, dtype)
    decay = math.exp(-dt / tau)

    def run():
        y = torch.zeros(shape, dtype=dtype)
        every = torch.empty((len(inputs), *shape), dtype=dtype) if keep == "every" else None
        for t, x in enumerate(inputs):
            y = exp_filter_step(y, drive(x.to(dtype)), decay)
            if every is not None:
                every[t] = y
        return (y if every is None else every).float()

    return run

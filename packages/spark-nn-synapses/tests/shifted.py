"""Spike trains that arrive later, in NumPy."""

import numpy as np


def shifted(xs, delays):
    """Spike trains (time, *shape), each so many steps later."""
    xs = np.broadcast_to(xs, (*xs.shape[: xs.ndim - np.ndim(delays)], *np.shape(delays)))
    late = np.zeros_like(xs)
    for at in np.ndindex(np.shape(delays)):
        steps = delays[at]
        late[(slice(steps, None), ..., *at)] = xs[(slice(0, len(xs) - steps), ..., *at)]
    return late


def of_connections(xs, delays):
    """Spikes (time, targets, inputs) of connections with delays (targets, inputs) in steps."""
    return shifted(xs[:, None, :].repeat(len(delays), 1), delays)

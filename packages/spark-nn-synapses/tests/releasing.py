"""Synapses with short-term plasticity, and what they do in NumPy."""

import numpy as np

from spark.nn.components.synapses import InputSpec, RUTracedSynapses

from .kinds import TRACED, normal, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (40, 5))
SPEC = {"spikes": InputSpec((5,))}
RELEASE = {"R_tau": 60.0, "U_tau": np.array([20.0, 5.0, 80.0, 20.0, 40.0]), "scale_U": 0.3}


def released(xs, R_tau, U_tau, scale_U, dt=1.0):
    """What spikes (time, ...) release: Tsodyks, Pawelzik and Markram (1998), eqs. 2.1 to 2.5."""
    amount = np.clip(np.abs(np.asarray(xs, np.float64)), 0, 1)
    usage, resources = np.zeros(amount.shape[1:]), np.ones(amount.shape[1:])
    found = np.zeros_like(amount)
    for t, x in enumerate(amount):
        usage = usage * np.exp(-dt / np.asarray(U_tau))
        resources = 1 - (1 - resources) * np.exp(-dt / np.asarray(R_tau))
        usage = usage + scale_U * (1 - usage) * x
        found[t] = usage * resources * x
        resources = resources - found[t]
    return np.sign(np.asarray(xs, np.float64)) * found


def make(kernel=KERNEL, dtype="float32", units=3, **kwargs):
    options = {**TRACED.arguments, **RELEASE, **kwargs}
    return RUTracedSynapses(units=units, kernel_initializer=kernel, dtype=dtype, **options)


def currents(kernel, xs, **changes):
    """Currents of each step, in float64."""
    given = {**RELEASE, **changes}
    release = {name: given.pop(name) for name in RELEASE}
    return TRACED.currents(kernel, released(xs, **release), **given)

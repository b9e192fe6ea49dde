"""The currents of a case of `combinations` in NumPy, each connection for itself."""

import jax.numpy as jnp
import numpy as np
from scipy.signal import lfilter

from .combinations import INPUTS, POST, PRE, UNITS, second, taus


def currents(case, module, xs):
    """The currents of a case in float64: each connection filters what its input has released."""
    pre, post = map(np.asarray, module.connections)
    weights, delays = _weights(case, module, pre, post), _delays(case, module, pre, post)
    xs = np.asarray(xs, np.float64)
    if case["class"] in ("RUTraced", "SaturatingTraced"):
        xs = _released(case, module, xs)
    if case["async_spikes"] == "no":
        each = xs[..., pre]
    else:
        each = xs[..., post, pre] if case["connectivity"] == "dense" else xs
    total = np.zeros((*xs.shape[: 1 + len(module.batch)], UNITS))
    tau = np.broadcast_to(_by_axes(taus(case["tau"])), (UNITS, INPUTS))
    other = np.broadcast_to(second(case), UNITS)
    for c, (i, j) in enumerate(zip(pre, post, strict=True)):
        train = np.zeros_like(each[..., c])
        train[delays[c] :] = each[: len(xs) - delays[c], ..., c]
        total[..., j] += weights[c] * _filtered(case["class"], train, tau[j, i], other[j])
    return total


def _by_axes(tau):
    return tau[:, None] if np.ndim(tau) == 1 else tau


def _weights(case, module, pre, post):
    kernel, scale = np.asarray(module.kernel.value, np.float64), 1.0
    if case["scale"] != "scalar" and case["connectivity"] != "procedural":
        ((_, gain),) = module.gains.items()
        gain = np.asarray(gain[...], np.float64)
        scale = gain[pre, post] if gain.ndim == 2 else gain
    if case["connectivity"] == "dense":
        return kernel[post, pre] * scale
    if case["connectivity"] == "many lengths":  # as they were given
        given = sorted(zip(PRE, POST, np.float32(module.config.connectivity.weights), strict=True))
        assert sorted(zip(pre, post, np.float32(kernel), strict=True)) == given
    if case["connectivity"] != "procedural":
        return kernel * scale
    rows = module.matrix.rows
    basis = rows.basis(_adjacency(module.matrix), jnp.arange(INPUTS), jnp.float64)
    return kernel @ np.asarray(basis).reshape(2, -1)


def _delays(case, module, pre, post):
    if case["delays"] == "none":
        return np.zeros(len(pre), int)
    if case["connectivity"] in ("blocks", "procedural") and case["delays"] == "of connections":
        rows = module.matrix.rows  # those of connections with traces lead to these
        return np.asarray(rows.all(_adjacency(module.matrix))[1]) // rows.targets
    given = np.broadcast_to(np.asarray(module.config.delays), (UNITS, INPUTS))
    return given[post, pre].astype(int)


def _adjacency(matrix):
    return tuple(each[...] for each in matrix.adjacency)


def _released(case, module, xs):
    usage, resources, found = np.zeros(xs.shape[1:]), np.ones(xs.shape[1:]), []
    config = module.config
    saturating = case["class"] == "SaturatingTraced"
    tau = np.broadcast_to(config.tau, (1, INPUTS))[0] if saturating else config.R_tau
    for x in xs:
        resources = 1 - (1 - resources) * np.exp(-1 / tau)
        if saturating:
            usage = np.full_like(x, config.opening)
        else:
            usage = usage * np.exp(-1 / config.U_tau)
            usage = usage + config.scale_U * x * (1 - usage)
        found.append(usage * resources * x)
        resources = resources - found[-1]
    return np.stack(found)


def _filtered(kind, train, tau, other):
    """A train through one stage, scaled by `other`; or through a second one with that tau."""
    if kind == "Linear":
        return train
    first = lfilter([1], [1, -np.exp(-1 / tau)], train, axis=0)
    if kind != "DoubleTraced":
        return other * first
    decay = np.exp(-1 / other)
    gain = (np.exp(-1 / tau) - decay) / (1 / other - 1 / tau)  # they are never close
    return lfilter([0, gain], [1, -decay], first, axis=0)

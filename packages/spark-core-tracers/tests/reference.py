"""The laws of all classes in NumPy, in float64, step by step; and derivatives by differences."""

import numpy as np

from spark.core.tracers import DoubleTracer, RUTracer


def parameters(kind, **changed):
    """The parameters of a kind, some of them changed."""
    return {name: np.float64(value) for name, value in {**kind.parameters, **changed}.items()}


def at_rest(kind, p, shape):
    """Traces at rest, in the order of the stages."""
    if kind.cls is RUTracer:
        rest = (0.0, 1.0)
    else:
        rest = [value for name, value in p.items() if name.startswith("base")]
    return [np.broadcast_to(np.float64(value), shape) for value in rest]


def step(kind, p, traces, x, dt=1.0):
    """Traces after a step, and what it returns; the bounds of saturable kinds are 0 and 1."""

    def decay(tau):
        return 1 - dt / tau if kind.is_euler else np.exp(-dt / tau)

    def bounded(y):
        return np.clip(y, 0, 1) if "saturable" in kind.name else y

    if kind.cls is RUTracer:
        usage, resources = traces
        x = np.clip(x, 0, 1)
        usage = usage * decay(p["U_tau"])
        usage = usage + p["scale_U"] * x * (1 - usage)
        resources = 1 - decay(p["R_tau"]) * (1 - resources)
        return [usage, resources * (1 - usage * x)], usage * resources
    if not issubclass(kind.cls, DoubleTracer):
        y = bounded(p["base"] + decay(p["tau"]) * (traces[0] - p["base"]) + p["scale"] * x)
        return [y], y
    d1, d2 = decay(p["tau_1"]), decay(p["tau_2"])
    y1 = bounded(p["base_1"] + d1 * (traces[0] - p["base_1"]) + p["scale_1"] * x)
    if kind.is_euler:
        drive = y1 - p["base_1"]
    else:
        drive = coupling(p["tau_1"], p["tau_2"], dt) * (traces[0] - p["base_1"])
    y2 = bounded(p["base_2"] + d2 * (traces[1] - p["base_2"]) + p["scale_2"] * drive)
    return [y1, y2], y2


def coupling(tau_1, tau_2, dt):
    """What stage 1 adds to stage 2 in a step; time constants are equal, or well apart."""
    a, c = 1 / tau_1, 1 / tau_2
    apart = np.where(a == c, 1, c - a)
    return np.where(a == c, dt * np.exp(-dt * a), (np.exp(-dt * a) - np.exp(-dt * c)) / apart)


def run(kind, p, traces, xs, dt=1.0):
    """Traces after all steps, and what each returns."""
    ys = []
    for x in xs:
        traces, y = step(kind, p, traces, x, dt)
        ys.append(y)
    return traces, np.stack(ys)


def from_rest(kind, xs, dt=1.0, **changed):
    """The same, from rest; time first, then the axes of the state."""
    p = parameters(kind, **changed)
    return run(kind, p, at_rest(kind, p, xs.shape[1:]), xs, dt)


def gradient(function, arguments, h=1e-6):
    """Central differences of a function of arrays, by each entry of each array."""
    arguments = [np.array(each, float) for each in arguments]
    found = [np.zeros_like(each) for each in arguments]
    for argument, derivative in zip(arguments, found, strict=True):
        for index in np.ndindex(argument.shape):
            here = argument[index]
            argument[index] = here + h
            more = function(*arguments)
            argument[index] = here - h
            derivative[index] = (more - function(*arguments)) / (2 * h)
            argument[index] = here
    return found

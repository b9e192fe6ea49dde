"""Brian2: a linear group, integrated exactly, driven by `Synapses`; a C++ program of its own."""

import tempfile

import brian2 as b
import numpy as np

NAME = "Brian2, C++ standalone"
DISTRIBUTIONS = ("brian2", "numpy")


def exponential(xs, *, tau, dt, dtype, keep):
    """`dy/dt = -y/tau`, one synapse per element."""
    elements = int(np.prod(xs.shape[1:]))
    program = _Program(
        xs.reshape(len(xs), elements), None, "dy/dt = -y/tau : 1", "y += 1", tau, dt, dtype, keep
    )
    return _shaped(program, xs.shape, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """The same, with all-to-all `Synapses` that have a weight each."""
    if spikes.ndim > 2:
        raise NotImplementedError("Brian2 has no batch axis")
    return _Program(spikes, kernel, "dy/dt = -y/tau : 1", "y_post += w", tau, dt, dtype, keep)


def sparse(spikes, pre, post, weights, *, targets, tau, dt, dtype, keep):
    """The same, with `Synapses` between listed neurons."""
    connections = {"i": pre, "j": post, "w": weights, "targets": targets}
    return _Program(spikes, connections, "dy/dt = -y/tau : 1", "y_post += w", tau, dt, dtype, keep)


def delayed(spikes, kernel, delays, *, tau, dt, dtype, keep):
    """All-to-all `Synapses` that have a weight and a delay each."""
    law = "dy/dt = -y/tau : 1", "y_post += w"
    return _Program(spikes, kernel, *law, tau, dt, dtype, keep, delays=delays)


def plastic(spikes, kernel, *, R_tau, U_tau, scale_U, tau, dt, dtype, keep):
    """All-to-all `Synapses` with usage and resources each, integrated from event to event."""
    model = f"""
        w : 1
        dU/dt = -U/({U_tau} * ms) : 1 (event-driven)
        dR/dt = (1 - R)/({R_tau} * ms) : 1 (event-driven)
    """
    on_pre = f"U += {scale_U} * (1 - U); y_post += w * U * R; R -= U * R"
    law = "dy/dt = -y/tau : 1", on_pre
    return _Program(spikes, kernel, *law, tau, dt, dtype, keep, model=model)


class _Program:
    """A C++ program, built once and run at each call; it knows the time of its own loop."""

    def __init__(
        self,
        spikes,
        kernel,
        equations,
        on_pre,
        tau,
        dt,
        dtype,
        keep,
        model="w : 1",
        delays=None,
    ):
        if dtype not in ("float32", "float64"):
            raise NotImplementedError(f"Brian2 has no {dtype}")
        self.keep = keep
        self.folder = tempfile.mkdtemp(prefix="brian2-")
        b.device.reinit()
        b.device.activate()
        b.set_device("cpp_standalone", build_on_run=False, directory=self.folder)
        b.prefs.core.default_float_dtype = getattr(np, dtype)
        b.defaultclock.dt = dt * b.ms
        steps, inputs = np.nonzero(spikes)
        outputs = spikes.shape[1]
        if kernel is not None:
            outputs = kernel["targets"] if isinstance(kernel, dict) else kernel.shape[0]
        source = b.SpikeGeneratorGroup(spikes.shape[1], inputs, (steps * dt) * b.ms, sorted=True)
        group = b.NeuronGroup(outputs, equations, method="exact", namespace={"tau": tau * b.ms})
        if kernel is None:
            synapses = b.Synapses(source, group, on_pre=on_pre.replace("y ", "y_post "))
            synapses.connect(j="i")
        else:
            synapses = b.Synapses(source, group, model, on_pre=on_pre)
            if isinstance(kernel, dict):
                synapses.connect(i=kernel["i"], j=kernel["j"])
                synapses.w = kernel["w"]
            else:
                synapses.connect()
                synapses.w = kernel.T.ravel()
            if "R" in synapses.variables:
                synapses.R = 1
            if delays is not None:
                synapses.delay = delays.T.ravel() * b.ms
        self.monitor = (
            b.StateMonitor(group, "y", record=True, when="end") if keep == "every" else None
        )
        self.group = group
        network = b.Network(*[x for x in (source, group, synapses, self.monitor) if x is not None])
        self.network = network
        network.run(len(spikes) * dt * b.ms, namespace={})
        b.device.build(directory=self.folder, run=False)

    def __call__(self):
        b.device.run(with_output=False)
        self.seconds = b.device._last_run_time
        return np.asarray(self.group.y if self.monitor is None else self.monitor.y.T)


def _shaped(program, shape, keep):
    """The same program, with its output in the shape of its input."""

    class Shaped:
        def __call__(self):
            found = program()
            self.seconds = program.seconds
            return found.reshape(shape if keep == "every" else shape[1:])

    return Shaped()

"""NEST: spike trains injected along connections into neurons that never fire; their currents."""

import os
import time

import nest
import numpy as np

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
THREADS = sorted({1, CORES})
"""Numbers of threads that are tried; the fastest is kept."""

NAME = f"NEST, float64, {' or '.join(map(str, THREADS))} threads"
DISTRIBUTIONS = ("nest-simulator", "numpy")
LARGEST = 300_000
"""Most targets: with one input each, an element takes 8 kB."""

nest.verbosity = nest.VerbosityLevel.ERROR


def exponential(xs, *, tau, dt, dtype, keep):
    """The current of `iaf_psc_exp`, one connection per element."""
    return _one_to_one(xs, _exp(tau), {}, dt, dtype, keep)


def double(xs, *, tau_1, tau_2, dt, dtype, keep):
    """The current of `iaf_psc_alpha`; with two time constants, two currents of `iaf_psc_exp`."""
    if tau_1 == tau_2:
        # Its peak is 1, where that of t exp(-t/tau) is tau/e.
        model = ("iaf_psc_alpha", {"tau_syn_ex": tau_1, "tau_syn_in": tau_1})
        return _one_to_one(xs, model, {"weight": tau_1 / np.e}, dt, dtype, keep)
    model = ("iaf_psc_exp", {"tau_syn_ex": tau_2, "tau_syn_in": tau_1})
    weight = 1 / (1 / tau_1 - 1 / tau_2)
    # Negative weights drive the other current.
    return _one_to_one(xs, model, {"weight": weight}, dt, dtype, keep, {"weight": -weight})


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    """`tsodyks2_synapse`, into a current that lasts no longer than the step of its arrival."""
    synapse = _tsodyks(R_tau, U_tau, scale_U)
    return _one_to_one(xs, _exp(dt / 1000), synapse, dt, dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """`iaf_psc_exp` after all-to-all connections."""
    return _all_to_all(spikes, kernel, tau, {}, dt, dtype, keep)


def sparse(spikes, pre, post, weights, *, targets, tau, dt, dtype, keep):
    """The same after listed connections."""

    def connect(sources, neurons):
        synapse = {"weight": weights.astype(float), "delay": np.full(len(pre), dt)}
        lists = np.asarray(sources)[pre], np.asarray(neurons)[post]
        nest.Connect(*lists, "one_to_one", {"synapse_model": "static_synapse", **synapse})

    return _Program(spikes, targets, _exp(tau), connect, dt, dtype, keep)


def delayed(spikes, kernel, delays, *, tau, dt, dtype, keep):
    """The same with a delay of each connection; 0 is the least that NEST has, one step."""
    return _all_to_all(spikes, kernel, tau, {"delay": delays + dt}, dt, dtype, keep)


def plastic(spikes, kernel, *, R_tau, U_tau, scale_U, tau, dt, dtype, keep):
    """`iaf_psc_exp` after all-to-all `tsodyks2_synapse`."""
    synapse = _tsodyks(R_tau, U_tau, scale_U)
    return _all_to_all(spikes, kernel, tau, synapse, dt, dtype, keep)


def _exp(tau):
    return "iaf_psc_exp", {"tau_syn_ex": tau, "tau_syn_in": tau}


def _tsodyks(R_tau, U_tau, scale_U):
    # The first spike takes `u` as it is: its default is not `U`.
    state = {"u": scale_U, "x": 1.0}
    parameters = {"U": scale_U, "tau_rec": R_tau, "tau_fac": U_tau}
    return {"synapse_model": "tsodyks2_synapse", **parameters, **state}


def _all_to_all(spikes, kernel, tau, synapse, dt, dtype, keep):
    if spikes.ndim > 2:
        raise NotImplementedError("NEST has no batch axis")

    def connect(sources, neurons):
        synapses = {"weight": kernel.astype(float), "delay": dt, **synapse}
        nest.Connect(sources, neurons, "all_to_all", synapses)

    return _Program(spikes, kernel.shape[0], _exp(tau), connect, dt, dtype, keep)


def _one_to_one(xs, model, synapse, dt, dtype, keep, second=None):
    spikes = xs.reshape(len(xs), -1)

    def connect(sources, neurons):
        for each in (synapse, second):
            if each is not None:
                nest.Connect(sources, neurons, "one_to_one", {"delay": dt, **each})

    shape = xs.shape if keep == "every" else xs.shape[1:]
    return _Program(spikes, spikes.shape[1], model, connect, dt, dtype, keep, shape)


class _Program:
    """A network, made anew at each call; it knows the time of its steps alone.

    A spike of our step k is at its end, (k + 1) dt. It arrives after the least delay of NEST, dt:
    the current after our step k is the one at (k + 2) dt.
    """

    def __init__(self, spikes, targets, model, connect, dt, dtype, keep, shape=None):
        if dtype not in ("float32", "float64"):
            raise NotImplementedError(f"NEST has no {dtype}")
        if targets > LARGEST:
            raise NotImplementedError(f"{targets} neurons and their inputs take too much memory")
        self.steps, self.targets, self.connect = len(spikes), targets, connect
        self.model, self.dt, self.keep, self.shape = model, dt, keep, shape
        inputs, steps = np.nonzero(spikes.T)
        times = np.split((steps + 1) * dt, np.searchsorted(inputs, range(1, spikes.shape[1])))
        self.trains = [{"spike_times": each} for each in times]
        self.threads = None

    def __call__(self):
        if self.threads is None:
            self.threads = min(THREADS, key=self._seconds)
        found, self.seconds = self._run(self.threads)
        return found if self.shape is None else found.reshape(self.shape)

    def _seconds(self, threads):
        return self._run(threads)[1]

    def _run(self, threads):
        nest.ResetKernel()
        nest.resolution = self.dt
        nest.local_num_threads = threads
        sources = nest.Create("spike_train_injector", len(self.trains))
        sources.set(self.trains)
        name, parameters = self.model
        neurons = nest.Create(name, self.targets, {"V_th": 1e300, **parameters})
        end = (self.steps + 1) * self.dt
        meter = nest.Create("multimeter", {"record_from": ["I_syn_ex", "I_syn_in"]})
        meter.interval = self.dt if self.keep == "every" else end
        nest.Connect(meter, neurons)
        self.connect(sources, neurons)
        nest.Prepare()
        start = time.perf_counter()
        # The last recording is handed over a slice later.
        nest.Run(end + nest.min_delay)
        seconds = time.perf_counter() - start
        nest.Cleanup()
        events = meter.events
        rows = np.rint(events["times"] / meter.interval).astype(int)
        found = np.zeros((rows.max() + 1, self.targets))
        currents = events["I_syn_ex"] + events["I_syn_in"]
        found[rows, events["senders"] - neurons[0].global_id] = currents
        return found[2 : self.steps + 2] if self.keep == "every" else found[1], seconds

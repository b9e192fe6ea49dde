"""Decoding: what a bank of traces knows of the stimulus, beside a plain Wiener filter."""

from __future__ import annotations

import dataclasses
import time

import jax
import numpy as np
from recording import DT, Recording
from scipy import signal
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spark.core.tracers import RUTracer
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    RUTracedSynapses,
    SpikeArray,
    TracedSynapses,
)

TIME_CONSTANTS = np.geomspace(0.5, 100.0, 24)
"""Of the bank, ms."""

DELAYS = (4.0, 6.0, 8.0, 10.0, 12.0)
"""How long a readout may wait for the spikes that a stimulus causes, ms."""

FITTED = 0.7
"""Part of the recording that is fitted; the rest is judged."""

CURRENT_TAU = 5.0
"""Time constant of the currents through plastic synapses, ms."""

# Use, recovery and facilitation time constants (ms) of two cortical synapses:
# Markram, Wang and Tsodyks (1998), PNAS 95:5323-5328.
SYNAPSES = {"depressing": (0.5, 1100.0, 50.0), "facilitating": (0.05, 125.0, 1200.0)}


@dataclasses.dataclass(frozen=True)
class Traces:
    """A bank of traces over a recording.

    Attributes:
        single: Single exponential traces, of shape `(time, bank)`.
        double: Double exponential traces, likewise.
        first_ms: Time of the first run, compilation included where it is the first of the program.
        later_ms: Time of a later run.
    """

    single: np.ndarray
    double: np.ndarray
    first_ms: float
    later_ms: float


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A stimulus reconstructed from spikes, on the part that was not fitted.

    Attributes:
        method: What made it.
        delay: How long it waits, ms; chosen on the fitted part.
        values: The reconstruction, of shape `(time,)`.
        target: The stimulus.
        times: End of each step, ms.
    """

    method: str
    delay: float
    values: np.ndarray
    target: np.ndarray
    times: np.ndarray

    @property
    def correlation(self) -> float:
        """Pearson's correlation with the target."""
        return float(np.corrcoef(self.values, self.target)[0, 1])

    @property
    def explained_variance(self) -> float:
        """Part of the target's variance that is left after subtraction, taken from one."""
        return float(1 - np.var(self.target - self.values) / np.var(self.target))


def trace(recording: Recording) -> Traces:
    """Run a bank of single and double traced synapses over the spikes of a recording.

    One input, the recorded neuron, reaches as many targets as there are time constants.
    """
    n, tau = len(TIME_CONSTANTS), TIME_CONSTANTS
    shared = {"units": n, "kernel_initializer": np.ones((n, 1)), "dtype": "float32", "dt": DT}
    spikes = SpikeArray(recording.spikes[:, None])

    def run():
        single = TracedSynapses(tau=tau, **shared)
        # Each spike adds a bump of height 1, whatever the time constant.
        double = DoubleTracedSynapses(tau_1=tau, tau_2=2 * tau, scale_2=2 / tau, **shared)
        currents = single.scan(spikes).value, double.scan(spikes).value
        return jax.block_until_ready(currents)

    durations = []
    for _ in range(2):
        start = time.perf_counter()
        single, double = run()
        durations.append(1000 * (time.perf_counter() - start))
    return Traces(np.asarray(single), np.asarray(double), *durations)


def efficacies(recording: Recording) -> dict[str, np.ndarray]:
    """Efficacy of each recorded spike at a depressing and at a facilitating synapse."""
    use, recovery, facilitation = np.array(list(SYNAPSES.values())).T
    tracer = RUTracer(len(SYNAPSES), recovery, facilitation, use, dtype="float32", dt=DT)
    values = np.asarray(tracer.scan(recording.spikes[:, None]))[recording.spikes]
    return dict(zip(SYNAPSES, values.T, strict=True))


def plastic_currents(recording: Recording) -> tuple[dict[str, np.ndarray], float]:
    """Currents through a depressing and a facilitating synapse, and how exact they are.

    Returns:
        The current of each synapse, of shape `(time,)`, in units of its weight; and the largest
        difference from the published equations, solved from spike to spike in float64, relative to
        the largest current.
    """
    use, recovery, facilitation = np.array(list(SYNAPSES.values())).T
    synapses = RUTracedSynapses(
        units=len(SYNAPSES),
        kernel_initializer=np.eye(len(SYNAPSES)),
        R_tau=recovery,
        U_tau=facilitation,
        scale_U=use,
        tau=CURRENT_TAU,
        dtype="float32",
        dt=DT,
    )
    both = np.repeat(recording.spikes[:, None], len(SYNAPSES), axis=1)
    currents = np.asarray(synapses.scan(both).value)
    expected = np.stack([_solved(recording, *each) for each in SYNAPSES.values()], axis=1)
    error = np.max(np.abs(currents - expected)) / np.max(expected)
    return dict(zip(SYNAPSES, currents.T, strict=True)), float(error)


def _solved(recording: Recording, use: float, recovery: float, facilitation: float) -> np.ndarray:
    """Tsodyks, Pawelzik and Markram (1998), from spike to spike; then an exponential synapse."""
    steps = np.flatnonzero(recording.spikes)
    drive = np.zeros(len(recording.spikes))
    usage, resources = 0.0, 1.0
    for step, gap in zip(steps, np.diff(steps, prepend=0) * DT, strict=True):
        usage *= np.exp(-gap / facilitation)
        resources = 1 - (1 - resources) * np.exp(-gap / recovery)
        usage += use * (1 - usage)
        drive[step] = usage * resources
        resources -= drive[step]
    return signal.lfilter([1.0], [1.0, -np.exp(-DT / CURRENT_TAU)], drive)


def read_out(recording: Recording, method: str, features: np.ndarray) -> Reconstruction:
    """Reconstruct the stimulus linearly from traces.

    The stimulus at a time is read from the traces a delay later, by ridge regression. Delay and
    strength of the ridge are chosen by cross-validation on five blocks of the fitted part.

    Args:
        recording: Whose stimulus to reconstruct.
        method: What to call it.
        features: Traces, of shape `(time, number of traces)`.
    """
    fitted, judged = _parts(recording)
    best: tuple[float, float, np.ndarray] | None = None
    for delay in DELAYS:
        shifted = np.roll(features.astype(np.float64), -round(delay / DT), axis=0)
        model = make_pipeline(
            StandardScaler(), RidgeCV(np.geomspace(1e-2, 1e4, 7), cv=KFold(5), scoring="r2")
        )
        model.fit(shifted[fitted], recording.stimulus[fitted])
        score = model[-1].best_score_
        if best is None or score > best[0]:
            best = score, delay, model.predict(shifted[judged])
    _, delay, values = best
    return Reconstruction(
        method, delay, values, recording.stimulus[judged], recording.times[judged]
    )


def _parts(recording: Recording) -> tuple[slice, slice]:
    """What is fitted and what is judged, with gaps of the longest delay."""
    gap = round(max(DELAYS) / DT)
    split = int(FITTED * len(recording.spikes))
    return slice(0, split), slice(split + gap, len(recording.spikes) - gap)


def wiener(recording: Recording) -> Reconstruction:
    """Reconstruct the stimulus by the Wiener filter, in the frequency domain.

    The transfer function is the cross-spectrum of stimulus and spikes over the power spectrum of
    the spikes, by Welch's method on the fitted part. It sees the spikes before and after.

    References:
        Rieke, Warland, de Ruyter van Steveninck and Bialek (1997), Spikes, appendix A.
    """
    fitted, judged = _parts(recording)
    x, y = recording.spikes - recording.spikes[fitted].mean(), recording.stimulus
    options = {"fs": 1000 / DT, "nperseg": 1024}
    _, cross = signal.csd(x[fitted], y[fitted], **options)
    _, power = signal.welch(x[fitted], **options)
    kernel = np.fft.fftshift(np.fft.irfft(cross / power)) * np.hanning(options["nperseg"])
    # An even number of taps: the middle one, lag 0, stands at nperseg / 2.
    filtered = signal.oaconvolve(x, kernel)[options["nperseg"] // 2 :][: len(x)]
    values = filtered[judged] + y[fitted].mean()
    both_sides = options["nperseg"] * DT / 2
    return Reconstruction("Wiener filter", both_sides, values, y[judged], recording.times[judged])

"""Decoding: what a bank of traces knows of the stimulus, beside a plain Wiener filter."""

from __future__ import annotations

import dataclasses
import time

import jax
import numpy as np
from recording import DT, Recording
from scipy import signal
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spark.core.tracers import DoubleTracer, RUTracer, Tracer

TIME_CONSTANTS = np.geomspace(0.5, 100.0, 24)
"""Of the bank, ms."""

DELAY = 8.0
"""How long the readout waits for the spikes that a stimulus causes, ms: best on what is fitted."""

FITTED = 0.7
"""Part of the recording that is fitted; the rest is judged."""

# Use, recovery and facilitation time constants (ms) of two cortical synapses:
# Markram, Wang and Tsodyks (1998), PNAS 95:5323-5328.
SYNAPSES = {"depressing": (0.5, 1100.0, 50.0), "facilitating": (0.05, 125.0, 1200.0)}


@dataclasses.dataclass(frozen=True)
class Traces:
    """A bank of traces over a recording.

    Attributes:
        single: Single exponential traces, of shape `(time, bank)`.
        double: Double exponential traces, likewise.
        compile_ms: Time of the first run, which compiles.
        run_ms: Time of a later run.
    """

    single: np.ndarray
    double: np.ndarray
    compile_ms: float
    run_ms: float


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """A stimulus reconstructed from spikes, on the part that was not fitted.

    Attributes:
        method: What made it.
        values: The reconstruction, of shape `(time,)`.
        target: The stimulus.
        times: End of each step, ms.
    """

    method: str
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
    """Run the bank of single and double tracers over the spikes of a recording."""

    def run():
        n, tau = len(TIME_CONSTANTS), TIME_CONSTANTS
        single = Tracer(n, tau, dtype="float32", dt=DT)
        # Each spike adds a bump of height 1, whatever the time constant.
        double = DoubleTracer(n, tau, 2 * tau, scale_2=2 / tau, dtype="float32", dt=DT)
        spikes = recording.spikes[:, None]
        return jax.block_until_ready((single.scan(spikes), double.scan(spikes)))

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


def read_out(recording: Recording, method: str, features: np.ndarray) -> Reconstruction:
    """Reconstruct the stimulus linearly from traces.

    The stimulus at a time is read from the traces `DELAY` later. Ridge regression; its strength is
    chosen by cross-validation within the fitted part.

    Args:
        recording: Whose stimulus to reconstruct.
        method: What to call it.
        features: Traces, of shape `(time, number of traces)`.
    """
    delay = round(DELAY / DT)
    x, y = features[delay:], recording.stimulus[:-delay]
    split = int(FITTED * len(y))
    # Traces of the fitted part reach into the judged one by no more than the delay: leave a gap.
    judged = slice(split + delay, None)
    model = make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1e-2, 1e5, 15)))
    model.fit(x[:split], y[:split])
    return Reconstruction(
        method, model.predict(x[judged]), y[judged], recording.times[:-delay][judged]
    )


def wiener(recording: Recording) -> Reconstruction:
    """Reconstruct the stimulus by the Wiener filter, in the frequency domain.

    The transfer function is the cross-spectrum of stimulus and spikes over the power spectrum of
    the spikes, by Welch's method on the fitted part. It sees the spikes before and after.

    References:
        Rieke, Warland, de Ruyter van Steveninck and Bialek (1997), Spikes, appendix A.
    """
    delay = round(DELAY / DT)
    x, y = recording.spikes - recording.spikes.mean(), recording.stimulus
    split = int(FITTED * (len(y) - delay))
    options = {"fs": 1000 / DT, "nperseg": 1024}
    _, cross = signal.csd(x[:split], y[:split], **options)
    _, power = signal.welch(x[:split], **options)
    kernel = np.fft.fftshift(np.fft.irfft(cross / power)) * np.hanning(options["nperseg"])
    # An even number of taps: the middle one, lag 0, stands at nperseg / 2.
    filtered = signal.oaconvolve(x, kernel)[options["nperseg"] // 2 :][: len(x)]
    judged = slice(split + delay, len(y) - delay)
    values = filtered[judged] + y[:split].mean()
    return Reconstruction("Wiener filter", values, y[judged], recording.times[judged])

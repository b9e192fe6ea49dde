"""The recording: spikes of a grasshopper auditory receptor, and the sound envelope that drove them.

Two recordings ship with nitime (https://nipy.org/nitime). The stimulus is a Gaussian amplitude
modulation, in dB, with a cut-off frequency of 200 Hz in the first and 800 Hz in the second.

References:
    Rokem, Watzl, Gollisch, Stemmler, Herz and Samengo (2006), Journal of Neurophysiology
    95:2541-2552: the experiment.
"""

from __future__ import annotations

import dataclasses
import importlib.resources

import numpy as np

DT = 0.25
"""Time step, ms."""

CUT_OFF = {1: 200, 2: 800}
"""Cut-off frequency of the stimulus of each recording, Hz."""

_STIMULUS_SAMPLE = 0.05  # ms


@dataclasses.dataclass(frozen=True)
class Recording:
    """Spikes and stimulus on one time axis.

    Attributes:
        number: 1 or 2.
        spike_times: Spike times, ms.
        spikes: Whether a spike falls in each step; boolean, of shape `(time,)`.
        stimulus: Mean stimulus in each step, in standard deviations from its mean; `(time,)`.
    """

    number: int
    spike_times: np.ndarray
    spikes: np.ndarray
    stimulus: np.ndarray

    @property
    def name(self) -> str:
        """What to call it in tables and figures."""
        return f"{CUT_OFF[self.number]} Hz"

    @property
    def times(self) -> np.ndarray:
        """End of each step, ms."""
        return DT * np.arange(1, len(self.spikes) + 1)


def load(number: int) -> Recording:
    """Read a recording from the installed nitime package.

    Args:
        number: 1 (cut-off 200 Hz) or 2 (800 Hz).
    """
    data = importlib.resources.files("nitime") / "data"
    with (data / f"grasshopper_spike_times{number}.txt").open() as file:
        spike_times = np.loadtxt(file) / 1000  # us to ms
    with (data / f"grasshopper_stimulus{number}.txt").open() as file:
        amplitude = np.loadtxt(file)[:, 1]

    samples = round(DT / _STIMULUS_SAMPLE)
    stimulus = amplitude[: len(amplitude) // samples * samples].reshape(-1, samples).mean(axis=1)
    stimulus = (stimulus - stimulus.mean()) / stimulus.std()
    spikes = np.zeros(len(stimulus), bool)
    # A spike at time t falls in the step (t - dt, t] that ends at or after it.
    step = np.ceil(np.round(spike_times / DT, 9)).astype(int) - 1
    spikes[step[step < len(spikes)]] = True
    return Recording(number, spike_times, spikes, stimulus)

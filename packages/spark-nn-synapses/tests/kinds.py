"""The synapse classes, and the currents of each by NumPy and SciPy."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from spark.nn.components.synapses import DoubleTracedSynapses, LinearSynapses, TracedSynapses


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class, arguments that exercise it, and the names of its traces."""

    name: str
    cls: type[LinearSynapses]
    arguments: dict[str, Any]
    traces: tuple[str, ...]

    def make(self, kernel, units=3, dtype="float32", **kwargs):
        """A module with a given kernel, of the dtype of its traces."""
        options = {"kernel_dtype": dtype, **self.arguments, **kwargs}
        return self.cls(units=units, kernel_initializer=kernel, dtype=dtype, **options)

    def state(self, module):
        """Copies of the traces of a module."""
        return [np.array(getattr(module.current_tracer, name)[...]) for name in self.traces]

    def currents(self, kernel, spikes, target_axes=1, dt=1.0, **changes):
        """Currents after each step, in float64: each synapse filters its own spikes.

        Args:
            kernel: Of shape `units + input_shape`, or one per step with time first.
            spikes: Signed spikes, of shape `(time, *input_shape)`, or with `async_spikes`
                `(time, *units, *input_shape)`.
            target_axes: How many axes of the kernel are those of the targets.
            dt: Time step.
            **changes: Arguments that differ from those of this kind.
        """
        given = {**self.arguments, **changes}
        spikes = np.asarray(spikes, np.float64)
        if not given.pop("async_spikes", False):
            spikes = np.expand_dims(spikes, tuple(range(1, 1 + target_axes)))
        drive = np.asarray(kernel, np.float64) * spikes
        shape = drive.shape[1:]

        def of_each_synapse(value):
            value = np.asarray(value, np.float64)
            if value.ndim == target_axes:
                value = np.expand_dims(value, tuple(range(target_axes, len(shape))))
            return np.broadcast_to(value, shape)

        euler = given.pop("integrator", "exact") == "euler"
        bases = [given.pop(name) for name in list(given) if name.startswith("base")]
        parameters = {name: of_each_synapse(value) for name, value in given.items()}
        response = np.empty_like(drive)
        for at in np.ndindex(shape):
            own = [value[at] for value in parameters.values()]
            response[(slice(None), *at)] = self._filter(drive[(slice(None), *at)], own, dt, euler)
        total = response.sum(axis=tuple(range(1 + target_axes, drive.ndim)))
        return total + np.asarray(bases[-1] if bases else 0.0, np.float64)

    def _filter(self, x, parameters, dt, euler):
        def decay(tau):
            return 1 - dt / tau if euler else np.exp(-dt / tau)

        if not self.traces:
            return x
        if len(self.traces) == 1:
            tau, scale = parameters
            return lfilter([scale], [1, -decay(tau)], x)
        tau_1, scale_1, tau_2, scale_2 = parameters
        d1, d2 = decay(tau_1), decay(tau_2)
        first = lfilter([scale_1], [1, -d1], x)
        if euler:
            return lfilter([scale_2], [1, -d2], first)
        gain = dt * d1 if tau_1 == tau_2 else (d1 - d2) / (1 / tau_2 - 1 / tau_1)
        return lfilter([0, scale_2 * gain], [1, -d2], first)


_TRACED = {"tau": 7.0, "scale": 0.5, "base": 0.25}
_DOUBLE = {
    "tau_1": 3.0,
    "scale_1": 0.5,
    "base_1": 0.125,
    "tau_2": 8.0,
    "scale_2": 0.25,
    "base_2": 0.25,
}

LINEAR = Kind("linear", LinearSynapses, {}, ())
TRACED = Kind("traced", TracedSynapses, _TRACED, ("trace",))
DOUBLE = Kind("double", DoubleTracedSynapses, _DOUBLE, ("trace_1", "trace_2"))
TRACED_EULER = dataclasses.replace(
    TRACED, name="traced-euler", arguments={**_TRACED, "integrator": "euler"}
)
DOUBLE_EULER = dataclasses.replace(
    DOUBLE, name="double-euler", arguments={**_DOUBLE, "integrator": "euler"}
)

every_kind = pytest.mark.parametrize("kind", [LINEAR, TRACED, DOUBLE], ids=lambda kind: kind.name)
every_traced_kind = pytest.mark.parametrize("kind", [TRACED, DOUBLE], ids=lambda kind: kind.name)
# A kernel as small as those here is always dense where the way is "auto".
every_way = pytest.mark.parametrize("way", ["auto", "events"])

_PER_TARGET = np.array([4.0, 7.0, 9.0])
_PER_INPUT = np.array([[4.0, 9.0, 4.0, 4.0, 9.0]])
_PER_SYNAPSE = 3 + np.arange(15.0).reshape(3, 5)

# Layouts for 3 targets and 5 inputs: time constants and scales, and how many traces each target
# then has.
LAYOUTS = {
    "scalar": (7.0, 0.5, 1),
    "per-target": (_PER_TARGET, np.array([0.5, 1.0, 2.0]), 1),
    "scale-per-input": (7.0, np.array([[0.5, 1.0, 2.0, 0.25, 1.0]]), 1),
    "two-values": (_PER_INPUT, np.array([[0.5], [1.0], [2.0]]), 2),
    "two-values-per-target": (_PER_INPUT * _PER_TARGET[:, None], 0.5, 2),
    "per-synapse": (_PER_SYNAPSE, 2.0 / _PER_SYNAPSE, 5),
}


def laid_out(kind, name):
    """Arguments for a layout, and the number of traces of each target."""
    if not kind.traces:
        return {}, 0
    tau, scale, several = LAYOUTS[name]
    # The second stage differs from the first by a factor, which makes no new groups.
    if len(kind.traces) == 1:
        return {"tau": tau, "scale": scale}, several
    later = np.asarray(tau) * 1.5
    return {"tau_1": tau, "scale_1": scale, "tau_2": later, "scale_2": scale}, several


every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def pairs(names, *rows):
    """Cases in a table by hand, such that each value meets those that it can break apart."""
    return pytest.mark.parametrize(names, rows, ids=lambda value: getattr(value, "name", None))


# Each class, and each way to share traces; each layout with one class at least.
every_sharing = pairs(
    ("kind", "layout"),
    (LINEAR, "scalar"),
    (TRACED, "per-target"),
    (TRACED, "two-values"),
    (TRACED, "per-synapse"),
    (DOUBLE, "scale-per-input"),
    (DOUBLE, "two-values-per-target"),
    (DOUBLE, "per-synapse"),
)
# Each way to share traces once: for facts that a second stage cannot break.
one_of_each_sharing = pairs(
    ("kind", "layout"),
    (LINEAR, "scalar"),
    (DOUBLE, "scale-per-input"),
    (TRACED, "two-values"),
    (TRACED, "per-synapse"),
)


def spikes(seed, shape, rate=0.3):
    """Bernoulli spikes."""
    return np.random.default_rng(seed).random(shape) < rate


def normal(seed, shape):
    """A kernel of float32 values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def exact(seed, shape):
    """A kernel of multiples of 1/8, which every dtype holds and adds up without rounding."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 8.0

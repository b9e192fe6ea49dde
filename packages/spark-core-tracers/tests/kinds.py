"""The tracer classes with parameters that exercise them, for facts that hold for all."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from spark.core import tracers


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class, its arguments after the shape, and the value at rest of each of its traces."""

    name: str
    cls: type[tracers.BaseTracer]
    arguments: dict[str, Any]
    rest: dict[str, float]

    @property
    def parameters(self):
        """The arguments that are numbers."""
        return {name: x for name, x in self.arguments.items() if not isinstance(x, str)}

    @property
    def is_euler(self):
        return self.arguments.get("integrator") == "euler"

    def make(self, shape, **kwargs):
        return self.cls(shape, **{**self.arguments, **kwargs})

    def traces(self, tracer):
        return {name: np.asarray(getattr(tracer, name)[...]) for name in self.rest}


_DOUBLE = {
    "tau_1": 3.0,
    "tau_2": 8.0,
    "scale_1": 0.5,
    "scale_2": 0.2,
    "base_1": 0.125,
    "base_2": 0.25,
}
_DOUBLE_REST = {"trace_1": 0.125, "trace_2": 0.25}

KINDS = [
    Kind("tracer", tracers.Tracer, {"tau": 7.0, "scale": 0.5, "base": 0.25}, {"trace": 0.25}),
    Kind(
        "tracer-euler",
        tracers.Tracer,
        {"tau": 7.0, "scale": 0.5, "base": 0.25, "integrator": "euler"},
        {"trace": 0.25},
    ),
    Kind(
        "saturable",
        tracers.SaturableTracer,
        {"tau": 7.0, "scale": 0.5, "base": 0.25},
        {"trace": 0.25},
    ),
    Kind("double", tracers.DoubleTracer, _DOUBLE, _DOUBLE_REST),
    Kind("double-euler", tracers.DoubleTracer, {**_DOUBLE, "integrator": "euler"}, _DOUBLE_REST),
    Kind("saturable-double", tracers.SaturableDoubleTracer, _DOUBLE, _DOUBLE_REST),
    Kind(
        "resource-usage",
        tracers.RUTracer,
        {"R_tau": 40.0, "U_tau": 15.0, "scale_U": 0.4},
        {"trace_R": 1.0, "trace_U": 0.0},
    ),
]

NEAREST = Kind(
    "tracer-nearest",
    tracers.Tracer,
    {"tau": 7.0, "scale": 0.5, "base": 0.25, "rounding": "nearest"},
    {"trace": 0.25},
)
KINDS.append(NEAREST)

# One of each class: for facts that neither the integrator nor the rounding can break.
CLASSES = [kind for kind in KINDS if not kind.is_euler and kind is not NEAREST]

# How a state is rounded does not depend on the way: NEAREST would compile the same programs again.
WAYS_KINDS = [kind for kind in KINDS if kind is not NEAREST]
JUMPING = [kind for kind in WAYS_KINDS if kind.cls is not tracers.SaturableDoubleTracer]


def parametrized(kinds):
    """Run a test for each of these kinds."""
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


def named(*names):
    """The kinds of these names."""
    return [next(kind for kind in KINDS if kind.name == name) for name in names]


def pairs(*rows):
    """Run a test for some kinds, each with an option: a table of the pairs that it tries."""
    values = [(*named(name), option) for name, option in rows]
    return pytest.mark.parametrize(
        ("kind", "option"), values, ids=lambda value: getattr(value, "name", str(value))
    )


# Programs are what these tests cost. Whoever scans a train of this shape, or takes a step of it,
# takes one that another test has compiled.
SHAPE, STEPS = (3, 4), 60


def train(seed, rate=0.2):
    """Bernoulli spikes for every step and element, in float32."""
    return spikes(seed, (STEPS, *SHAPE), rate).astype(np.float32)


every_kind = parametrized(KINDS)
every_class = parametrized(CLASSES)
every_jumping_kind = parametrized(JUMPING)
every_dtype = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])


def spikes(seed, shape, rate=0.2):
    """Bernoulli spikes."""
    return np.random.default_rng(seed).random(shape) < rate

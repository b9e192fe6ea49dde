"""How the results of synapses are compared: step by step, and within which bounds."""

import numpy as np

from spark.core.tracers.testing import tolerance

# How closely currents agree with those of NumPy, and results of two programs with one another.
CLOSE = dict.fromkeys(("rtol", "atol"), tolerance("currents", "float32"))
AS_STEPS = dict.fromkeys(("rtol", "atol"), tolerance("steps", "float32"))


def by_steps(module, xs):
    """The currents of one call after the other."""
    return np.stack([np.asarray(module(x)) for x in xs])


def same_gradients(found, expected):
    """Gradients within the rounding of float32, as parts of the largest of each array, or of 1."""
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        bound = tolerance("gradient", "float32") * max(np.abs(two).max(initial=0), 1)
        np.testing.assert_allclose(one, two, rtol=0, atol=bound)

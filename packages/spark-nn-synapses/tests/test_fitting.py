"""Fits of short-term plasticity to amplitudes that a recursion in float64 gives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from spark.nn.components.synapses import InputSpec, RUTracedSynapses

NAMES = ("scale_U", "U_tau", "R_tau", "tau")
DT = 10.0
# Trains of eight spikes, and one after a pause; in ms.
TRAINS = np.array(
    [
        [*np.arange(8) * interval, 7 * interval + pause]
        for interval, pause in ((100, 200), (50, 800), (20, 400), (10, 200), (10, 1000))
    ]
)
STEPS = np.rint(TRAINS / DT).astype(int)
WHICH = STEPS, np.arange(len(TRAINS))[:, None]


def amplitudes(scale_U, U_tau, R_tau, tau):
    """The current at each spike, from spike to spike: of a weight of 1, in float64."""
    found = np.empty(TRAINS.shape)
    for train, row in zip(TRAINS, found, strict=True):
        usage, resources, current = 0.0, 1.0, 0.0
        for i, interval in enumerate(np.diff(train, prepend=train[0])):
            usage *= np.exp(-interval / U_tau)
            resources = 1 - (1 - resources) * np.exp(-interval / R_tau)
            usage += scale_U * (1 - usage)
            current = current * np.exp(-interval / tau) + usage * resources
            resources *= 1 - usage
            row[i] = current
    return found


def raster():
    spikes = np.zeros((STEPS.max() + 1, len(TRAINS), 1), bool)
    spikes[WHICH] = True
    return jnp.asarray(spikes)


class Model(nnx.Module):
    """Synapses whose parameters cannot leave their range: logarithms, and a logit."""

    def __init__(self, dtype, **start):
        self.synapses = RUTracedSynapses(
            units=1, kernel_initializer=np.ones((1, 1)), dt=DT, dtype=dtype
        )
        self.synapses.build({"spikes": InputSpec((1,), batch=(len(TRAINS),))})
        start["scale_U"] = start["scale_U"] / (1 - start["scale_U"])
        self.free = nnx.data(
            {name: nnx.Param(jnp.asarray(np.log(start[name]), dtype)) for name in NAMES}
        )

    @property
    def parameters(self):
        free = {name: each.get_value() for name, each in self.free.items()}
        bound = {name: jnp.exp(free[name]) for name in NAMES}
        return bound | {"scale_U": jax.nn.sigmoid(free["scale_U"])}

    def __call__(self, spikes):
        parameters = self.parameters
        self.synapses.reset()
        for name in NAMES:
            tracer = self.synapses.current_tracer if name == "tau" else self.synapses.release_tracer
            getattr(tracer, name)[...] = parameters[name]
        return self.synapses.scan(spikes).value[..., 0][WHICH]


@nnx.jit
def fit(model, optimizer, spikes, measured):
    """Descend the mean square, for as many steps as the schedule of the optimizer has."""

    def step(_, carry):
        model, optimizer = carry

        def loss(model):
            return jnp.mean((model(spikes) - measured) ** 2)

        optimizer.update(model, nnx.grad(loss)(model))
        return model, optimizer

    nnx.fori_loop(0, UPDATES, step, (model, optimizer))


def fitted(dtype, start, measured):
    model = Model(dtype, **start)
    optimizer = nnx.Optimizer(model, DESCENT, wrt=nnx.Param)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
        fit(model, optimizer, raster(), jnp.asarray(measured, dtype))
    return model.parameters | {"weight": model.synapses.kernel.value[0, 0]}


UPDATES = 800
# One for all fits, which then share a program.
DESCENT = optax.adam(optax.cosine_decay_schedule(0.1, UPDATES))
FACILITATING = {"scale_U": 0.15, "U_tau": 500.0, "R_tau": 120.0, "tau": 6.0}
DEPRESSING = {"scale_U": 0.5, "U_tau": 60.0, "R_tau": 600.0, "tau": 9.0}
START = {"scale_U": 0.3, "U_tau": 150.0, "R_tau": 250.0, "tau": 8.0}


def test_the_model_is_the_recursion_in_float64():
    # Half a spacing a step, over the memory of the traces, some tens of steps.
    expected = amplitudes(**FACILITATING)
    found = Model("float32", **FACILITATING)(raster())
    np.testing.assert_allclose(found, expected, rtol=25 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("known", [FACILITATING, DEPRESSING], ids=["facilitating", "depressing"])
def test_a_fit_finds_the_parameters_again(known):
    found = fitted("float32", START, amplitudes(**known))
    # Amplitudes are rounded by 1e-6 at most; the slopes of the least squares make up to ten times
    # that of it in a parameter; and ten times more is left to a descent that stops short.
    for name, value in {**known, "weight": 1.0}.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name

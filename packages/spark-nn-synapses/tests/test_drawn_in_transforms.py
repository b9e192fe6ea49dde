"""Parameters drawn from a distribution where a transform traces the build."""

import jax
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    ProceduralConnectivity,
    RUTracedSynapses,
    SaturatingTracedSynapses,
    TracedSynapses,
)

from .comparing import CLOSE
from .kinds import spikes
from .test_drawn_parameters import INPUTS, LISTED, PART, SAME, TARGETS, TAU, made, per, values


def test_an_ensemble_draws_differently():
    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def make(rngs):
        drawn = {"tau": per("target", TAU), "scale": per("input", TAU), "R_tau": per("input", TAU)}
        module = RUTracedSynapses(units=TARGETS, rngs=rngs, **drawn)
        module.build({"spikes": InputSpec((INPUTS,))})
        return module

    modules = make(nnx.Rngs(0))
    for name, shape in (("tau", (3, TARGETS)), ("scale", (3, INPUTS, 1)), ("R_tau", (3, INPUTS))):
        found = values(modules, name)
        assert found.shape == shape
        assert not np.any(found[0] == found[1:])


def test_a_build_inside_jit_draws_the_same():
    drawn = {"tau": per("target", TAU), "scale": per("input", TAU), "base": per("target", TAU)}
    spike = np.ones(INPUTS, bool)
    inside = jax.jit(lambda x: made(**drawn)(x).value)(spike)
    np.testing.assert_allclose(inside, made(**drawn)(spike).value, rtol=1e-6)
    with pytest.raises(ValueError, match="tau drawn per input tells which inputs share a trace"):
        jax.jit(lambda x: made(tau=per("input", TAU))(x).value)(spike)


OF_TARGETS = {name: per("target", TAU) for name in ("tau_1", "tau_2", "scale_2", "base_2")}
IN_TRANSFORMS = {
    "traced": (TracedSynapses, {"tau": per("target", TAU), "scale": per("connection", TAU)}),
    "synapses": (TracedSynapses, {"tau": per("connection", TAU), "scale": per("input", TAU)}),
    "late": (
        TracedSynapses,
        {"tau": per("connection", TAU)},
        {"delays": np.arange(TARGETS)[:, None] * np.ones((1, INPUTS)) % 3},
    ),
    "double": (DoubleTracedSynapses, OF_TARGETS),
    "one": (DoubleTracedSynapses, {"tau_2": per("target", TAU), "scale_1": per("input", TAU)}),
    "euler": (DoubleTracedSynapses, OF_TARGETS, {"integrator": "euler"}),
    "double-synapses": (
        DoubleTracedSynapses,
        {"tau_1": per("connection", TAU), "tau_2": per("target", TAU)},
    ),
    "plastic": (RUTracedSynapses, SAME["plastic"][1] | {"tau": per("target", TAU)}),
    "saturating": (
        SaturatingTracedSynapses,
        {"opening": per("input", PART), "scale": per("connection", TAU)},
    ),
    "listed": (
        DoubleTracedSynapses,
        {"tau_1": per("connection", TAU), "tau_2": per("target", TAU)},
        {"connectivity": LISTED},
    ),
    "procedural": (
        DoubleTracedSynapses,
        {"tau_1": per("target", TAU), "scale_2": per("connection", TAU)},
        {
            "connectivity": ProceduralConnectivity(fan_out=3),
            "kernel_initializer": np.array([1.0, 2.0]),
        },
    ),
}


@pytest.mark.parametrize("name", IN_TRANSFORMS)
def test_every_class_is_built_inside_transforms(name):
    cls, drawn, *more = IN_TRANSFORMS[name]
    options = drawn | (more[0] if more else {})
    xs = spikes(1, (10, INPUTS), 0.3)
    inside = jax.jit(lambda xs: made(cls, **options).scan(xs).value)(xs)
    outside = made(cls, **options)
    np.testing.assert_allclose(inside, outside.scan(xs), **CLOSE)

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def make(rngs):
        module = cls(units=TARGETS, dtype="float32", rngs=rngs, **options)
        module.build({"spikes": InputSpec((INPUTS,))})
        return module

    modules = make(nnx.Rngs(0))
    assert modules.current_tracer.shape == outside.current_tracer.shape
    one, other = nnx.vmap(lambda module, xs: module.scan(xs).value, in_axes=(0, None))(modules, xs)
    assert np.isfinite(one).all()
    assert not np.array_equal(one, other)

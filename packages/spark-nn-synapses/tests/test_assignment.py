"""What is assigned to synapses and delays is checked as by their constructors, or refused."""

import copy

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from spark.core.internal import CheckedModule
from spark.core.tracers import Tracer
from spark.nn.components.synapses import (
    Delays,
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    RUTracedSynapses,
    TracedSynapses,
)

from .comparing import by_steps
from .kinds import TRACED, every_kind, every_traced_kind, laid_out, normal, spikes

KERNEL = normal(0, (3, 5))
XS = spikes(1, (12, 5))
CLASSES = [LinearSynapses, TracedSynapses, DoubleTracedSynapses, RUTracedSynapses]


def built(cls, **kwargs):
    module = cls(units=3, kernel_initializer=KERNEL, dtype="float32", **kwargs)
    module.build({"spikes": InputSpec((5,))})
    return module


@pytest.mark.parametrize("build", [True, False], ids=["built", "new"])
@pytest.mark.parametrize("cls", CLASSES)
def test_fields_of_the_configuration_cannot_be_assigned(cls, build):
    module = built(cls) if build else cls(units=3)
    for name in cls.config_class.model_fields:
        with pytest.raises(AttributeError, match=rf"^{name} of .* config.replace\({name}=...\)"):
            setattr(module, name, getattr(module.config, name))


@pytest.mark.parametrize("cls", CLASSES)
def test_other_attributes_cannot_be_assigned(cls):
    module = built(cls)
    fields = cls.config_class.model_fields
    names = [name for name in vars(module) if name not in fields and not name.startswith("_")]
    assert {"config", "chain", "batch", "matrix", "delay_line", "current_tracer"} <= set(names)
    for name in [*names, "weights", "gains", "connections"]:
        with pytest.raises((AttributeError, TypeError), match=f"{name} "):
            setattr(module, name, "something")


@pytest.mark.parametrize(
    ("module", "name", "variable"),
    [
        (lambda: built(TracedSynapses), "tau", "current_tracer.tau"),
        (lambda: built(TracedSynapses), "base", "current_tracer.base"),
        (lambda: built(TracedSynapses, scale=np.ones((1, 5))), "scale", "gains['scale'][...]"),
        (lambda: built(DoubleTracedSynapses, tau_1=3 + KERNEL**2), "base_2", "base"),
        (lambda: built(DoubleTracedSynapses, tau_1=3 + KERNEL**2), "tau_2", "current_tracer.tau_2"),
        (lambda: built(RUTracedSynapses), "scale_U", "release_tracer.scale_U"),
    ],
)
def test_the_error_names_the_variable_to_set(module, name, variable):
    with pytest.raises(AttributeError) as caught:
        setattr(module(), name, 1.0)
    assert str(caught.value).endswith(f"or set {variable}.")


@every_traced_kind
def test_a_parameter_assigned_to_its_tracer_is_that_of_the_configuration(kind):
    for name in kind.arguments:
        module, expected = kind.make(KERNEL), kind.make(KERNEL, **{name: 6.0})
        module.build({"spikes": InputSpec((5,))})
        setattr(module.current_tracer, name, 6.0)
        module.reset()
        np.testing.assert_array_equal(module.scan(XS), expected.scan(XS))
    with pytest.raises(ValueError, match=r"tau\w* must be > 0"):
        setattr(module.current_tracer, next(iter(kind.arguments)), 0.0)


def test_the_base_of_several_traces_is_checked():
    module = TRACED.make(KERNEL, **laid_out(TRACED, "two-values")[0])
    module(XS[0])
    module.base = [1.0, 2.0, 3.0]
    module.reset()
    np.testing.assert_array_equal(module(np.zeros(5, bool)), [1.0, 2.0, 3.0])
    module.base = nnx.Variable(0.5)
    np.testing.assert_array_equal(module(np.zeros(5, bool)), np.full(3, 0.5, np.float32))
    for wrong in (np.ones(2), np.nan, "low"):
        with pytest.raises((ValueError, TypeError), match="base"):
            module.base = wrong


@every_kind
def test_weights_are_replaced_by_weights_that_fit(kind):
    module, other = kind.make(KERNEL), kind.make(-KERNEL)
    module(XS[0]), other(XS[0])
    module.weights = nnx.Param(jnp.asarray(-KERNEL.T))
    np.testing.assert_array_equal(module.kernel, other.kernel)
    module.weights = KERNEL.T
    np.testing.assert_array_equal(module.kernel, KERNEL)
    for wrong in (KERNEL, np.full((5, 3), np.nan), "weights"):
        for assigned in (wrong, nnx.Param(wrong)):
            with pytest.raises((ValueError, TypeError), match="weights must"):
                module.weights = assigned


def test_a_tracer_is_replaced_by_one_of_the_same_kind():
    module = built(TracedSynapses)
    tracer = nnx.clone(module.current_tracer)
    module.current_tracer = tracer
    assert module.current_tracer is tracer
    for other in (Tracer(3, 5.0), Tracer(4, 5.0, dtype="float32"), None):
        with pytest.raises(AttributeError, match=r"current_tracer of .* is made by build"):
            module.current_tracer = other


class Named(TracedSynapses):
    """A class of a user, with attributes of its own."""

    def __init__(self, name, **kwargs):
        super().__init__(**kwargs)
        self.name, self.count = name, nnx.Variable(jnp.zeros(()))


def test_a_subclass_may_have_attributes_of_its_own():
    module = Named("first", units=3)
    module(XS[0])
    module.name, module.count = "second", nnx.Variable(jnp.ones(2))
    assert (module.name, module.count.shape) == ("second", (2,))
    module.build({"spikes": InputSpec((4,))})
    assert module.kernel.shape == (3, 4)


@pytest.mark.parametrize("cls", CLASSES)
def test_merged_cloned_and_copied_modules_go_on_alike(cls):
    module = built(cls, delays=2.0)
    module(XS[0])
    graph, state = nnx.split(module)
    twins = [nnx.merge(graph, state, copy=True), nnx.clone(module), copy.deepcopy(module)]
    twins += [nnx.clone(nnx.recursive_map(lambda path, node: node, module)), built(cls, delays=2.0)]
    nnx.update(twins[-1], state)
    expected = by_steps(module, XS[1:5])
    for twin in twins:
        np.testing.assert_array_equal(by_steps(twin, XS[1:5]), expected)


def test_an_optimizer_of_flax_moves_weights():
    module = built(RUTracedSynapses)
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
    gradients = nnx.jit(nnx.grad(lambda m: m(np.ones(5, bool)).value.sum()))(module)
    optimizer.update(module, gradients)
    assert (np.asarray(module.kernel) != KERNEL).all()


def test_delays_cannot_be_assigned():
    for delays in (Delays(5, 2.0), Delays(5, 0.0)):
        for name in ("shape", "units", "batch", "dt", "dtype", "delays", "line"):
            with pytest.raises(AttributeError, match=f"{name} of Delays is fixed"):
                setattr(delays, name, getattr(delays, name))
        delays.note = "mine"
        assert delays(XS[0]).shape == nnx.clone(delays)(XS[0]).shape == (5,)
    for name in ("slots", "cursor"):
        with pytest.raises(AttributeError, match=f"{name} of a DelayLine is set by steps"):
            setattr(Delays(5, 2.0).line, name, 0)


def test_steps_assign_no_attribute(monkeypatch):
    modules = [built(cls, delays=2.0) for cls in CLASSES] + [Delays(5, 2.0)]

    def refuse(self, name, value):
        raise AssertionError(name)

    monkeypatch.setattr(CheckedModule, "__setattr__", refuse)
    for module in modules:
        module(XS[0]), module.reset()
    for module in modules[-2:]:
        module.scan(XS)

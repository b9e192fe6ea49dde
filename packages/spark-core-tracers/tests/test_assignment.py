"""What is assigned to a tracer is checked as by its constructor, or refused."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core.tracers import BaseTracer, RUTracer, SaturableTracer, Tracer, TraceState

from .kinds import SHAPE, every_kind, spikes, train


@every_kind
@pytest.mark.parametrize("wrap", [lambda value: value, nnx.Param], ids=["array", "variable"])
def test_assigned_parameters_are_those_of_the_constructor(kind, wrap):
    factors = np.linspace(0.6, 1.0, 12).reshape(SHAPE)
    arguments = {name: value * factors for name, value in kind.parameters.items()}
    tracer = kind.make(SHAPE, dtype="float32")
    expected = kind.make(SHAPE, dtype="float32", **arguments)
    tracer(np.zeros(SHAPE, np.float32))  # what it has computed with is not used again
    for name, value in arguments.items():
        setattr(tracer, name, wrap(value))
        found, other = (getattr(each, name).get_value() for each in (tracer, expected))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, other)
    tracer.reset(), expected.reset()
    np.testing.assert_array_equal(tracer.scan(train(0)), expected.scan(train(0)))


@every_kind
def test_an_assigned_parameter_is_checked_as_by_the_constructor(kind):
    for name in kind.parameters:
        wrong = [np.ones(2), np.nan, "a"]
        wrong += [0.0, -1.0] if "tau" in name else []
        wrong += [1e6] if "base" in name else []
        wrong += [2.0] if name == "scale_U" else []
        for value in wrong:
            with pytest.raises((ValueError, TypeError)) as constructed:
                kind.make(3, **{name: value})
            tracer = kind.make(3)
            before = np.asarray(getattr(tracer, name).get_value())
            for assigned in (value, nnx.Variable(value)):
                with pytest.raises(constructed.type) as found:
                    setattr(tracer, name, assigned)
                assert str(found.value) == str(constructed.value)
            np.testing.assert_array_equal(getattr(tracer, name).get_value(), before)


@every_kind
def test_an_assigned_trace_is_of_the_shape_and_dtype_of_the_state(kind):
    tracer = kind.make(SHAPE)
    for name in kind.rest:
        setattr(tracer, name, [0.25, 0.5, 0.75, 1.0])
        found = getattr(tracer, name)
        assert isinstance(found, TraceState)
        np.testing.assert_array_equal(found.get_value(), np.float16([[0.25, 0.5, 0.75, 1.0]] * 3))
        for wrong in (np.ones(2), np.inf, 1e6):
            with pytest.raises(ValueError, match=name):
                setattr(tracer, name, wrong)
    assert tracer(np.zeros(SHAPE, np.float32)).shape == SHAPE


@every_kind
def test_static_attributes_cannot_be_assigned(kind):
    tracer = kind.make(3)
    held = [name for name, value in vars(tracer).items() if not isinstance(value, nnx.Variable)]
    names = [name for name in held if not name.startswith("_") and name != "rng"]
    assert {"shape", "dt", "dtype", "rounding", "trainable", "recurrence"} <= set(names)
    for name in [*names, "seed"]:
        with pytest.raises(AttributeError, match=f"{name} of a .* fixed .*: make a new one"):
            setattr(tracer, name, getattr(tracer, name, 0))
    with pytest.raises(TypeError, match=r"rng must be an nnx.RngStream, got 3"):
        tracer.rng = 3
    tracer.rng = nnx.RngStream(jax.random.key(3), tag="rounding")
    np.testing.assert_array_equal(tracer(1.0), kind.make(3, seed=3)(1.0))


def test_trainable_follows_the_type_of_an_assigned_variable():
    tracer = Tracer(3, 5.0)
    tracer.tau = nnx.Param(7.0)
    assert tracer.trainable == ("tau",)
    assert set(nnx.state(tracer, nnx.Param)) == {"tau"}
    gradient = nnx.grad(lambda tracer: tracer.scan(jnp.ones((3, 3))).sum())(tracer)
    assert float(jax.tree.leaves(gradient)[0]) > 0
    tracer.tau = nnx.Variable(7.0)
    assert tracer.trainable == ()


class Counted(SaturableTracer):
    """A class of a user, with attributes of its own."""

    def __init__(self, *args, **kwargs):
        self.calls = 0
        super().__init__(*args, **kwargs)
        self.seen = nnx.Variable(jnp.zeros(()))

    def __call__(self, x, **kwargs):
        self.calls += 1
        self.seen[...] += 1
        return super().__call__(x, **kwargs)


def test_users_may_assign_attributes_of_their_own():
    tracer = Counted(3, 5.0)
    tracer(1.0), tracer(1.0)
    assert (tracer.calls, float(tracer.seen.get_value())) == (2, 2.0)
    tracer.calls, tracer.note, tracer.seen = 0, "mine", nnx.Variable(jnp.ones(4))
    assert tracer.seen.get_value().shape == (4,)
    with pytest.raises(AttributeError, match="minimum of a Counted is fixed"):
        tracer.minimum = 0.5


@every_kind
def test_merged_cloned_and_copied_modules_go_on_alike(kind):
    tracer = kind.make(3)
    tracer.scan(spikes(1, (4, 3)))
    graph, state = nnx.split(tracer)
    twins = [
        nnx.merge(graph, state, copy=True),
        nnx.clone(tracer),
        copy.deepcopy(tracer),
        kind.make(3),
    ]
    nnx.update(twins[-1], state)
    # Variables are shared with what is mapped.
    twins.append(nnx.clone(nnx.recursive_map(lambda path, node: node, tracer)))
    popped = nnx.clone(tracer)
    nnx.update(popped, nnx.pop(popped, TraceState))
    expected = np.asarray(tracer(1.0))
    for twin in [*twins, popped]:
        np.testing.assert_array_equal(twin(1.0), expected)


def test_assignment_inside_jit_and_to_an_ensemble():
    tracer = Tracer(3, 5.0, dtype="float32")

    @nnx.jit
    def step(tracer, tau):
        tracer.tau = tau
        return tracer(0.0)

    step(tracer, jnp.float32(9.0))
    assert float(tracer.tau[...]) == 9.0

    @nnx.vmap
    def make(seed):
        return Tracer(3, 5.0, seed=jax.random.key(seed))

    ensemble = make(jnp.arange(2))
    ensemble.tau, ensemble.trace = jnp.array([3.0, 4.0]), 0.5
    assert (ensemble.tau.shape, ensemble.trace.shape) == ((2,), (2, 3))


def test_every_class_has_a_list_of_its_own():
    assert "integrator" not in RUTracer._fixed
    assert set(SaturableTracer._fixed) - set(Tracer._fixed) == {"minimum", "maximum"}
    assert set(BaseTracer._fixed) < set(Tracer._fixed)

"""Configurations: what they accept, how they compare, and what a file keeps."""

import copy
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    LinearSynapses,
    LinearSynapsesConfig,
    RandomConnectivity,
    TracedSynapses,
    TracedSynapsesConfig,
)
from spark.nn.configs import ConfigError
from spark.nn.initializers import sparse_uniform

from .configured import Nested, Plain, Traced


def test_fields_have_one_form():
    config = Traced(
        units=3, tau=np.float32(10), scale=2, dtype=jnp.bfloat16, dt=1, trainable="tau", seed=7
    )
    assert config.units == (3,)
    assert (config.tau, config.scale, config.dt) == (10.0, 2.0, 1.0)
    assert all(type(number) is float for number in (config.tau, config.scale, config.dt))
    assert config.dtype == "bfloat16"
    assert config.trainable == ("tau",)
    assert Plain(units=[2, np.int64(3)]).units == (2, 3)
    assert Traced(units=1, tau=jnp.array(2.5)).tau == 2.5
    assert Traced(units=1, tau=[1, 2]).tau.dtype == np.float64
    assert Traced(units=1, tau=jnp.ones(2, jnp.bfloat16)).tau.dtype == jnp.bfloat16


def test_a_config_is_keyword_only_and_frozen():
    with pytest.raises(TypeError):
        Plain(3)
    config = Plain(units=3)
    with pytest.raises(AttributeError, match=r"Plain cannot be changed; replace\(dt=...\)"):
        config.dt = 2.0
    assert config.dt == 1.0


def test_arrays_are_kept_as_read_only_copies():
    mine = np.array([1.0, 2.0])
    config = Traced(units=2, tau=mine)
    mine[0] = 9.0
    assert config.tau[0] == 1.0
    again = [config, pickle.loads(pickle.dumps(config)), copy.deepcopy(config), copy.copy(config)]
    for each in again:
        assert each == config
        with pytest.raises(ValueError, match="read-only"):
            each.tau[0] = 3.0


def test_equal_by_content():
    one = Traced(units=2, tau=np.array([1.0, 2.0], np.float32))
    assert one == Traced(units=(2,), tau=jnp.array([1.0, 2.0]))
    assert hash(one) == hash(Traced(units=(2,), tau=jnp.array([1.0, 2.0])))
    swapped = np.array([1.0, 2.0], ">f4")
    assert one == Traced(units=2, tau=swapped)
    different = [
        Traced(units=2, tau=np.array([1.0, 3.0], np.float32)),
        Traced(units=2, tau=np.array([1.0, 2.0])),
        Traced(units=2, tau=np.array([[1.0, 2.0]], np.float32)),
        Traced(units=2, tau=5.0),
        Plain(units=2),
        None,
    ]
    assert all(one != other for other in different)
    assert Plain(units=2) != Traced(units=2)
    assert len({one, *different}) == 7
    # The bytes alone do not say which numbers they are.
    half = np.array([1.0, 2.0], np.float16)
    assert Traced(units=2, tau=half) != Traced(units=2, tau=half.view(jnp.bfloat16))


def test_functions_are_equal_by_identity():
    function = sparse_uniform()
    assert Plain(units=2, kernel_initializer=function) == Plain(
        units=2, kernel_initializer=function
    )
    assert Plain(units=2, kernel_initializer=function) != Plain(
        units=2, kernel_initializer=sparse_uniform()
    )


def test_replace_checks_again():
    config = Traced(units=2, tau=np.array([1.0, 2.0]))
    assert config.replace(dt=0.5) == Traced(units=2, tau=np.array([1.0, 2.0]), dt=0.5)
    assert config.dt == 1.0
    for change in (lambda: config.replace(dt=-1), lambda: config.model_copy(update={"dt": -1})):
        with pytest.raises(ConfigError, match="dt must be finite and > 0, got -1"):
            change()


REFUSED = [
    ({}, "units is missing; it has no default"),
    ({"units": ()}, r"units must be a positive integer or a non-empty tuple of them, got \(\)"),
    ({"units": -1}, "units must be a positive integer .* got -1"),
    ({"units": (2, 0)}, r"units must .* got \(2, 0\)"),
    ({"units": 2.0}, "units must .* got 2.0"),
    ({"units": True}, "units must .* got True"),
    ({"units": "3"}, "units must .* got '3'"),
    ({"units": None}, "units must .* got None"),
    (
        {"taus": 3.0},
        r"unknown field 'taus'; did you mean 'tau'\? Known ones: units, fast, .* trainable",
    ),
    ({"fast": 1}, "fast must be a valid boolean, got 1"),
    ({"fast": "yes"}, "fast must be a valid boolean, got 'yes'"),
    ({"dt": 0}, "dt must be finite and > 0, got 0"),
    ({"dt": np.ones(2)}, r"dt must be a finite number > 0, got an array .* shape \(2,\)"),
    ({"dt": np.inf}, "dt must be finite and > 0, got inf"),
    ({"dt": True}, "dt must be a number .* got True of dtype bool"),
    ({"dt": "1"}, "dt must be a number .* got '1'"),
    ({"dtype": "int8"}, "dtype must be one of float16, bfloat16, float32, float64, got 'int8'"),
    ({"dtype": None}, "dtype must be one of .* got None"),
    ({"dtype": "what"}, "dtype must be one of .* got 'what'"),
    ({"seed": 1.5}, "seed must be an integer or None, got 1.5"),
    ({"seed": True}, "seed must be an integer or None, got True"),
    ({"seed": 2**64}, "seed must fit in 64 bits"),
    ({"seed": jax.random.key(0)}, "seed must be .* JAX PRNG key: .* as rngs"),
    ({"tau": 0}, "tau must be > 0, got 0"),
    ({"tau": [5.0, -1.0]}, r"tau must be > 0, got -1.0 at index \(1,\)"),
    ({"tau": np.nan}, "tau must be finite, got nan"),
    ({"tau": "5"}, "tau must be a number or an array of numbers, got '5'"),
    ({"tau": None}, "tau must be a number .* got None"),
    ({"tau": 1j}, "tau must be a number .* dtype complex128"),
    ({"tau": [[1.0], [1.0, 2.0]]}, "tau must be a number or an array of numbers, got"),
    ({"tau": np.array([object()])}, "tau must hold numbers, got an array of dtype object"),
    ({"tau": jax.random.key(0)}, "tau must be a number .* got a JAX PRNG key"),
    ({"scale": np.inf}, "scale must be finite, got inf"),
    ({"scale": np.ones(2, bool)}, "scale must be a number .* dtype bool"),
    ({"integrator": "rk4"}, "integrator must be 'exact' or 'euler', got 'rk4'"),
    ({"trainable": 3}, "trainable must be a sequence of names, got 3"),
    ({"trainable": ("tau", 3)}, "trainable must be a sequence of names"),
    ({"kernel_initializer": "normal"}, r"got 'normal'; KernelInitializerConfig\(name=...\) takes"),
    ({"kernel_initializer": 3}, r"KernelInitializerConfig\(name='constant', value=3\)"),
    ({"kernel_initializer": None}, "kernel_initializer must be a KernelInitializerConfig, a func"),
    ({"kernel_initializer": np.full(2, np.nan)}, r"must be finite, got nan at index \(0,\)"),
    ({"kernel_initializer": jax.nn.initializers.normal}, r"which makes one: call normal\(\)"),
    ({"kernel_initializer": {"name": "zeros", "x": 1}}, "unknown field 'kernel_initializer.x'"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_a_wrong_field_is_refused(fields, message):
    fields = fields if not fields or "units" in fields else {"units": 2, **fields}
    with pytest.raises(ConfigError, match=f"^Traced: .*{message}"):
        Traced(**fields)


def test_every_problem_is_reported_at_once():
    with pytest.raises(
        ConfigError, match=r"Traced: 3 problems.\n  units .*\n  dt .*\n  unknown field 'tua'"
    ):
        Traced(units=0, dt=-1.0, tua=3)
    with pytest.raises(ConfigError, match=r"Nested: plain\.units must be a positive integer"):
        Nested(plain={"units": 0})
    with pytest.raises(ConfigError, match="Nested: plain must be a valid dictionary or inst"):
        Nested(plain=3)


def test_an_error_answers_the_name_of_another_library_and_a_value_without_a_name():
    for name in ("kernel", "weights"):
        with pytest.raises(ConfigError, match=f"{name!r}; did you mean 'kernel_initializer'"):
            LinearSynapsesConfig(units=3, **{name: np.ones((3, 2))})
    with pytest.raises(TypeError, match=r"takes its fields by name, as in probability=0\.02\."):
        RandomConnectivity(0.02)
    with pytest.raises(TypeError, match="or None, got 3; give fields by name: units=3"):
        LinearSynapses(3)
    with pytest.raises(TypeError, match=r"as in units=\(2, 3\)\."):
        Plain((2, 3), "more")


def test_an_error_can_be_sent_to_another_process():
    with pytest.raises(ConfigError) as caught:
        Traced(units=0)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("make", [lambda x: x, lambda x: [x, x]], ids=["array", "list"])
def test_traced_values_are_refused(make):
    with pytest.raises(ConfigError, match=r"tau must be (concrete, got a value traced|a number)"):
        jax.jit(lambda tau: Traced(units=2, tau=make(tau)))(1.0)


def test_a_config_is_a_static_attribute_under_nnx_jit():
    class Scaled(nnx.Module):
        def __init__(self, config):
            self.config = config
            self.weight = nnx.Param(jnp.ones(2))

    traces = []

    @nnx.jit
    def run(module):
        traces.append(module.config)
        return module.weight[...] * jnp.asarray(module.config.tau, jnp.float32)

    for tau in ([1.0, 2.0], [1.0, 2.0], [3.0, 2.0]):
        module = Scaled(Traced(units=2, tau=tau))
        np.testing.assert_array_equal(run(module), tau)
    assert len(traces) == 2


def test_a_constructor_shows_the_fields_of_its_configuration():
    signature = inspect.signature(TracedSynapses)
    shown = list(signature.parameters)
    assert shown[:2] == ["config", "rngs"]
    assert sorted(shown[2:]) == sorted(TracedSynapsesConfig.model_fields)
    assert signature.parameters["tau"].default == 5.0
    assert signature.parameters["tau"].annotation == "TimeConstants"
    assert signature.parameters["units"].default is inspect.Parameter.empty
    instance = TracedSynapses(units=2)
    assert list(inspect.signature(instance).parameters) == ["spikes"]

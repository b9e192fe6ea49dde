"""The package as a distribution: its version, its markers, its names and where they are."""

import importlib
import importlib.resources
import re
import subprocess
import sys

import pytest

import spark
from spark.nn import configs, initializers, interchange, payloads
from spark.nn.components import synapses

LEAVES = [synapses, payloads, initializers, configs, interchange]
every_leaf = pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)


def test_version_is_a_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", synapses.__version__)


@every_leaf
def test_types_are_announced(leaf):
    assert importlib.resources.files(leaf).joinpath("py.typed").is_file()


@every_leaf
def test_every_public_name_is_listed_once_and_has_a_docstring(leaf):
    assert len(set(leaf.__all__)) == len(leaf.__all__)
    for name in leaf.__all__:
        thing = getattr(leaf, name)
        # What is JAX's is described there.
        if isinstance(thing, type) and thing.__module__.startswith("spark."):
            # Dataclasses and named tuples write a docstring of their own: it begins with the name.
            assert not (thing.__doc__ or name).startswith(f"{name}("), name
            assert thing.__doc__, name


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("linear", ["LinearSynapsesConfig", "LinearSynapses"]),
        (
            "traced",
            [
                "TracedSynapsesConfig",
                "TracedSynapses",
                "DoubleTracedSynapsesConfig",
                "DoubleTracedSynapses",
            ],
        ),
    ],
)
def test_names_are_where_they_were_promised_and_in_the_package(module, names):
    found = importlib.import_module(f"spark.nn.components.synapses.{module}")
    for name in names:
        assert getattr(found, name) is getattr(synapses, name)
        assert name in synapses.__all__


def test_payloads_and_initializers_are_in_the_package_too():
    for source, names in (
        (payloads, ["SpikeArray", "CurrentArray", "FloatArray"]),
        (initializers, ["KernelInitializerConfig"]),
    ):
        for name in names:
            assert getattr(synapses, name) is getattr(source, name)


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        ("LinearSynapses", []),
        ("TracedSynapses", ["tau", "scale", "base"]),
        (
            "DoubleTracedSynapses",
            ["tau_1", "scale_1", "base_1", "tau_2", "scale_2", "base_2"],
        ),
    ],
)
def test_configurations_have_the_fields_in_their_order(cls, names):
    config = getattr(synapses, f"{cls}Config")
    fields = list(config.model_fields)
    assert fields[:3] == ["units", "async_spikes", "kernel_initializer"]
    assert [name for name in fields if name in names] == names
    assert set(names) <= set(fields)


def test_packages_above_a_leaf_have_no_init_file():
    for name in ("spark", "spark.nn", "spark.nn.components"):
        assert importlib.import_module(name).__file__ is None
    assert spark.__file__ is None


@pytest.mark.versions
def test_an_import_under_a_transform_does_no_harm():
    code = """
import jax, numpy
def f(x):
    import spark.nn.components.synapses
    return x
jax.jit(f)(1.0)
from spark.nn.components.synapses import LinearSynapses
LinearSynapses(units=2)(numpy.ones(3, bool))
"""
    subprocess.run([sys.executable, "-c", code], check=True)

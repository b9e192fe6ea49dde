"""Configurations as dictionaries and in files."""

import json

import numpy as np
import pytest

from spark.nn.components.synapses import (
    Block,
    BlockConnectivity,
    LinearSynapsesConfig,
    OneToOne,
)
from spark.nn.configs import ConfigError
from spark.nn.initializers import KernelInitializerConfig, sparse_uniform

from .configured import Nested, Plain, Traced

ARRAYS = [
    np.array(value).astype(dtype)
    for dtype in ("float16", "bfloat16", "float32", "float64", "int8", "int64", "uint16", "bool")
    for value in (1, [0, 1, 3], np.ones((2, 0, 3)))
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_arrays_round_trip(array, tmp_path):
    config = Nested(table=array)
    config.to_file(tmp_path / "config.json")
    read = Nested.from_file(tmp_path / "config.json")
    assert read == config
    assert read.table.dtype == array.dtype
    np.testing.assert_array_equal(read.table, array)


@pytest.mark.parametrize(
    "config",
    [
        Plain(units=3),
        Traced(units=(2, 3), tau=[1.5, 2.5], scale=1e-300, seed=2**62, trainable=["tau", "scale"]),
        Plain(units=2, kernel_initializer=np.eye(2, dtype=np.float32), dtype="float64"),
        Nested(
            plain=Plain(units=4, dt=0.1),
            other=Plain(units=1, kernel_initializer=KernelInitializerConfig(density=0.5)),
            sizes=((1, 2), (), (3,)),
        ),
    ],
)
def test_a_file_keeps_everything(config, tmp_path):
    path = tmp_path / "config.json"
    config.to_file(path)
    read = type(config).from_file(path)
    assert read == config
    assert hash(read) == hash(config)
    assert read.to_dict() == json.loads(path.read_text()) == config.to_dict()
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_file_written_by_hand_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(
        '{"units": 4, "tau": [5, 10.5], "kernel_initializer": {"name": "normal", "stddev": 2}}'
    )
    config = Traced.from_file(path)
    assert config.units == (4,)
    np.testing.assert_array_equal(config.tau, [5.0, 10.5])
    assert config.kernel_initializer == KernelInitializerConfig(name="normal", stddev=2.0)


def test_a_config_that_cannot_be_written_leaves_the_file(tmp_path):
    path = tmp_path / "config.json"
    Plain(units=2).to_file(path)
    before = path.read_text()
    with pytest.raises(ConfigError, match="Plain: kernel_initializer holds a function"):
        Plain(units=2, kernel_initializer=sparse_uniform()).to_file(path)
    with pytest.raises(ConfigError, match=r"Nested: other.kernel_initializer holds a function"):
        Nested(other=Plain(units=2, kernel_initializer=sparse_uniform())).to_dict()
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"units": 2, "tau": {"$array": "float32", "shape": [2]}}, "tau must be an array as to_"),
        (
            {"units": 2, "tau": {"$array": "float32", "shape": [2], "data": "AAAA"}},
            r"tau must have as many bytes of data as float32 of shape \(2,\) takes, got 3",
        ),
        ({"units": 2, "tau": {"$array": "what", "shape": [], "data": ""}}, "tau must be an array"),
        ({"units": 2, "tau": {"$array": "int8", "shape": [1], "data": "?"}}, "tau must be an arr"),
        ([("units", 2)], "fields must be given by name"),
        (
            {"units": 2, "kernel_initializer": {"name": "nomal"}},
            r"kernel_initializer.name: unknown initializer 'nomal'",
        ),
    ],
)
def test_a_wrong_dictionary_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Traced.from_dict(fields)


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{units: 3}")
    with pytest.raises(ConfigError, match=r"config.json is no JSON: Expecting property name"):
        Plain.from_file(path)
    with pytest.raises(FileNotFoundError):
        Plain.from_file(tmp_path / "none.json")


def test_a_file_is_read_as_its_class_and_not_as_one_derived_from_that(tmp_path):
    class Derived(BlockConnectivity):  # has the same `kind`
        pass

    blocks = [Block(rule=OneToOne())]
    for cls, expected in ((BlockConnectivity, BlockConnectivity), (Derived, BlockConnectivity)):
        config = LinearSynapsesConfig(units=3, connectivity=cls(blocks=blocks))
        config.to_file(tmp_path / "config.json")
        read = LinearSynapsesConfig.from_file(tmp_path / "config.json")
        assert type(read.connectivity) is expected

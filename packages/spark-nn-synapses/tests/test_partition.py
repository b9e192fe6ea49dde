"""Synapses that are cut over several devices, in one process and in two."""

import functools
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, Mesh

from spark.nn.components.synapses import (
    Block,
    BlockConnectivity,
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    Normal,
    Partition,
)
from spark.nn.components.synapses._connect import laid_out_for

PROGRAM = Path(__file__).with_name("partitioned.py")


def found(*arguments, program=PROGRAM):
    """What a program says, in a process of its own: JAX starts with so many devices."""
    command = [sys.executable, program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.splitlines()[-1]


def test_eight_devices_compute_and_refuse_what_one_does():
    assert found() == "10 equal, 2 refused, 0 resumed"


def test_all_pairs_of_features_are_on_four_devices_what_they_are_on_one():
    with ThreadPoolExecutor(2) as both:
        said = list(both.map(said_by_sharded, range(2)))
    assert [each.split()[1:] for each in said] == [["of", "44", "equal"]] * 2


def test_connections_with_traces_and_spikes_of_their_own_are_sharded(tmp_path):
    assert found(tmp_path, program=PROGRAM.with_name("owned.py")) == "34 equal, 50 resumed"
    assert said_by_two("owned.py", tmp_path / "two") == ["5 equal, 13 resumed"] * 2


def test_devices_draw_what_one_device_does_with_and_without_the_engine():
    assert found(program=PROGRAM.with_name("drawn_by_device.py")) == "24 equal"


def test_devices_do_what_one_does_where_it_is_rare():
    assert found(program=PROGRAM.with_name("edges.py")) == "24 without inputs, 8 warnings"


def said_by_sharded(part):
    """What the program with the covering array says of a half of it."""
    return found(part, 2, program=PROGRAM.with_name("sharded.py"))


def said_by_two(program, *folder):
    """What each of two processes says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = functools.partial(found, program=PROGRAM.with_name(program))
    with ThreadPoolExecutor(2) as both:
        return list(both.map(lambda process: run(*folder, process, port), (0, 1)))


def test_two_processes_compute_and_refuse_what_one_does_and_resume(tmp_path):
    assert said_by_two("partitioned.py", tmp_path) == ["3 equal, 2 refused, 2 resumed"] * 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak")
def test_a_process_of_two_never_holds_all_connections(tmp_path):
    # At the peak of a build, beside the bytes of all targets and weights: half are its own. Of
    # blocks that are drawn, and of lists in files.
    one = found(tmp_path, program=PROGRAM.with_name("remembered.py"))
    assert min(map(float, one.split())) > 1
    for said in said_by_two("remembered.py", tmp_path):
        assert max(map(float, said.split())) < 1


def test_what_is_saved_on_one_mesh_resumes_on_others_and_on_one_device(tmp_path):
    assert found(tmp_path, program=PROGRAM.with_name("resharded.py")) == "64 resumed"


def test_two_processes_save_on_one_mesh_and_resume_on_others(tmp_path):
    assert said_by_two("resharded.py", tmp_path) == ["9 resumed"] * 2


MESH = Mesh(np.array(jax.devices()[:1]), ("devices",))


def test_a_partition_names_axes_of_its_mesh_once():
    with pytest.raises(ValueError, match=r"name axes of its mesh, \('devices',\), got 'rows'"):
        Partition(MESH, targets="rows")
    with pytest.raises(ValueError, match="cuts one thing, got 'devices' for several"):
        Partition(MESH, targets="devices", inputs="devices")
    explicit = Mesh(MESH.devices, ("devices",), axis_types=(AxisType.Explicit,))
    with pytest.raises(
        ValueError, match=r"axis 'devices' of the mesh must be of type Auto, got .*Explicit"
    ):
        Partition(explicit, targets="devices")


def test_shapes_that_devices_do_not_divide_are_refused_and_change_nothing():
    synapses = LinearSynapses(units=3)
    with pytest.raises(TypeError, match="partition must be a Partition or None"):
        synapses.build({"spikes": InputSpec((4,))}, partition=MESH)
    two = AbstractMesh((2,), ("devices",), axis_types=(AxisType.Auto,))
    with pytest.raises(ValueError, match=r"targets of shape \(3,\) cannot be cut over 2 devices"):
        synapses.build({"spikes": InputSpec((4,))}, partition=Partition(two, targets="devices"))
    with pytest.raises(ValueError, match=r"batch of shape \(\) cannot be cut over 2 devices"):
        synapses.build({"spikes": InputSpec((4,))}, partition=Partition(two, batch="devices"))
    assert synapses.chain is None


class Inhibitory(BlockConnectivity):
    """Blocks whose weights are made negative once they are laid out."""

    def lay_out(self, *arguments):
        found = super().lay_out(*arguments)
        return found._replace(weights=-np.abs(found.weights))


def test_a_connectivity_that_lays_out_in_its_own_way_does_so_on_several_devices():
    block = Block(rule=FixedFanOut(fan_out=2), weights=Normal(mean=1.0, std=0.1))
    four = AbstractMesh((4,), ("devices",), axis_types=(AxisType.Auto,))
    arguments = 4, 8, jax.random.key(0), 1.0, "float32"
    found = laid_out_for(Inhibitory(blocks=[block]), arguments, Partition(four, targets="devices"))
    assert np.all(found.weights < 0)


def test_an_initializer_fills_each_part_with_what_the_whole_would_have():
    partition = Partition(MESH, targets="devices")
    one, several = LinearSynapses(units=6, seed=1), LinearSynapses(units=6, seed=1)
    one.build({"spikes": InputSpec((4,))})
    several.build({"spikes": InputSpec((4,))}, partition=partition)
    np.testing.assert_array_equal(one.kernel, several.kernel)

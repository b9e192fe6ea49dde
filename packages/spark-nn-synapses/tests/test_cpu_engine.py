"""The engine of CPUs: its bridge to XLA, beside the header of jaxlib, and what stays in place."""

import re
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
    _cpu,
)
from spark.nn.components.synapses._cpu import bridge, header
from spark.nn.components.synapses._cpu.reading import float_of_half_bits, number

from .connected import built
from .kinds import spikes

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(
        jax.default_backend() != "cpu", reason="the engine runs in programs for a CPU"
    ),
]


def test_fields_stand_where_c_puts_them(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    fields = [f"offsetof({', '.join(name.split('.'))})" for name in header.OFFSETS]
    lines = [f'printf("%zu\\n", {each});' for each in fields]
    source = tmp_path / "offsets.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <xla/ffi/api/c_api.h>\n"
        f"int main(void) {{ {' '.join(lines)} return 0; }}\n"
    )
    program = tmp_path / "offsets"
    subprocess.run([compiler, f"-I{jax.ffi.include_dir()}", source, "-o", program], check=True)
    found = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    assert dict(zip(header.OFFSETS, map(int, found), strict=True)) == header.OFFSETS
    assert header.OFFSETS["XLA_FFI_CallFrame.args"] + 32 == bridge.OPERANDS
    assert header.OFFSETS["XLA_FFI_CallFrame.rets"] + 32 == bridge.RESULTS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("void* data;", "int more; void* more_data; void* data;", "XLA_FFI_Buffer.data"),
        (
            "_STRUCT_FIELD(XLA_FFI_Error_Create)",
            "_STRUCT_FIELD(Create)",
            "Api.XLA_FFI_Error_Create",
        ),
        ("XLA_FFI_Extension_Metadata = 1", "XLA_FFI_Extension_Metadata = 2", "Metadata = 1"),
        ("#define XLA_FFI_API_MINOR", "#define MINOR", "its version"),
    ],
)
def test_a_header_in_which_something_differs_is_refused(tmp_path, old, new, message):
    where = Path("xla", "ffi", "api", "c_api.h")
    text = Path(jax.ffi.include_dir(), where).read_text()
    assert old in text
    changed = tmp_path / where
    changed.parent.mkdir(parents=True)
    changed.write_text(text.replace(old, new))
    with pytest.raises(header.InterfaceError, match=rf"than is known: .*{message}"):
        header.read(tmp_path)
    changed.unlink()
    with pytest.raises(header.InterfaceError, match=r"has no c_api.h"):
        header.read(tmp_path)


def test_another_version_of_the_interface_warns_and_leaves_the_work_to_xla(monkeypatch):
    xs, connectivity = spikes(1, (7, 20)), FixedFanOut(fan_out=3)
    expected = built(connectivity, 20, 9).scan(xs)

    def unknown():
        raise header.InterfaceError("jaxlib has version 7.7")

    monkeypatch.setattr(header, "version", unknown)
    _cpu.available.cache_clear()
    jax.clear_caches()
    try:
        with pytest.warns(RuntimeWarning, match=r"by XLA alone, right but slower: .* 7\.7"):
            found = built(connectivity, 20, 9).scan(xs)
        dense = TracedSynapses(units=200, dtype="float32")
        with warnings.catch_warnings(action="error"):  # it is said once
            dense.scan(spikes(2, (3, 200)))
    finally:
        _cpu.available.cache_clear()
        jax.clear_caches()
    # Three terms in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [("float16", number), ("float16", float_of_half_bits), ("bfloat16", number)],
)
def test_every_number_of_half_precision_is_read(dtype, number):
    every = np.arange(1 << 16, dtype=np.uint16)

    @numba.njit
    def read(halves, found):
        for i in range(len(halves)):
            found[i] = number(halves[i])

    found = np.empty(1 << 16, np.float32)
    read(every.view(bridge.ENCODED[dtype]), found)
    # By their bits, but for those of what is no number; -0 is not 0.
    expected = every.view(jnp.dtype(dtype)).astype(np.float32)
    same = found.view(np.uint32) == expected.view(np.uint32)
    assert np.all(same | (np.isnan(found) & np.isnan(expected)))


def test_float16_below_the_normal_numbers_is_read_inside_a_program():
    # XLA takes float32 below its normal numbers for 0 there; these are above them.
    weights = np.arange(1, 6, dtype=np.uint16).view(np.float16)
    synapses = LinearSynapses(
        units=5,
        connectivity=SparseConnectivity(pre=np.zeros(5, int), post=np.arange(5)),
        kernel_initializer=weights,
        kernel_dtype="float16",
        dtype="float32",
    )
    synapses.build({"spikes": InputSpec((1,))})
    np.testing.assert_array_equal(synapses(np.ones(1, bool)).value, np.arange(1, 6) * 2.0**-24)


def test_there_is_one_target_for_each_kernel_and_dtypes():
    def target(inputs, units, dtype):
        module = built(RandomConnectivity(probability=0.2), inputs, units, kernel_dtype=dtype)
        graph, state = nnx.split(module)
        run = jax.jit(lambda xs: nnx.merge(graph, state, copy=True)(xs).value)
        program = run.lower(spikes(3, inputs)).compile().as_text()
        (name,) = set(re.findall(r'custom_call_target="(spark\w+)"', program))
        return name

    # Of other sizes the same; of another dtype another.
    assert target(30, 20, "float32") == target(40, 25, "float32") != target(30, 20, "float16")


def test_several_threads_may_call_it_at_once():
    module = built(RandomConnectivity(probability=0.1), 500, 400)
    graph, state = nnx.split(module)
    run = jax.jit(lambda xs: nnx.merge(graph, state, copy=True).scan(xs).value)
    trains = [spikes(seed, (50, 500)) for seed in range(8)]
    expected = [np.asarray(run(xs)) for xs in trains]
    found = [None] * len(trains)

    def call(i):
        for _ in range(5):
            found[i] = np.asarray(run(trains[i]))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(trains))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("loop", ["scan", "fori_loop"])
def test_no_ring_and_no_kernel_is_copied_in_the_loop_of_a_network(loop):
    rng = np.random.default_rng(0)
    delays = rng.integers(1, 12, 3000).astype(float)
    given = SparseConnectivity(
        pre=rng.integers(300, size=3000), post=rng.integers(300, size=3000), delays=delays
    )
    module = TracedSynapses(units=300, connectivity=given, dtype="float32")
    module.build({"spikes": InputSpec((300,))})
    graph, state = nnx.split(module)

    def step(state, spiking):
        synapses = nnx.merge(graph, state, copy=True)
        currents = synapses(spiking).value
        return nnx.state(synapses), currents > 0.5

    def run(state, spiking):
        if loop == "scan":
            return jax.lax.scan(lambda carry, _: (step(*carry), None), (state, spiking), None, 50)
        return jax.lax.fori_loop(0, 50, lambda _, carry: step(*carry), (state, spiking))

    program = jax.jit(run).lower(state, jnp.ones(300, bool)).compile().as_text()
    ring = ",".join(map(str, module.matrix.pending.slots[...].shape))
    assert f"f32[{ring}]" in program
    inside, copied = program.split("ENTRY")[0], rf"(f32\[({ring}|3000)\])\S* copy\("
    assert not re.search(copied, inside)


def test_a_boolean_counts_as_one_whatever_its_byte():
    raw = np.zeros(64 + 40, np.uint8)
    begin = -raw.ctypes.data % 64
    bytes_ = raw[begin : begin + 40]  # aligned, so that JAX may take it as it is
    bytes_[::2] = [1, 2, 3, 255] * 5
    xs = jnp.asarray(bytes_.view(bool))
    for connectivity in ("dense", RandomConnectivity(probability=0.5)):
        module = built(connectivity, 40, 20)
        np.testing.assert_array_equal(module(xs), module(np.arange(40) % 2 == 0))


@pytest.mark.parametrize("late", [None, 2.0])
def test_arrays_of_other_lengths_are_refused(late):
    delays = None if late is None else [late, 0.0, 1.0]
    given = SparseConnectivity(pre=[2, 0, 2], post=[0, 1, 1], weights=[3, 1, 4], delays=delays)
    for name, shorter in (("weights", 2), ("adjacency", 2), ("starts", 3)):
        module = built(given, 3, 2)
        variable = {
            "weights": module.weights,
            "adjacency": module.matrix.adjacency[1],
            "starts": module.matrix.adjacency[0],
        }
        variable[name].set_value(variable[name].get_value()[:shorter])
        with pytest.raises(ValueError, match="3 inputs to 2 targets must have arrays of shapes"):
            module(np.ones(3, bool))


_OUT_OF_MEMORY = """
import resource, jax, jax.numpy as jnp
from spark.nn.components.synapses._projections.row_sums import project_rows
from spark.nn.components.synapses._projections.rows import StoredRows

rows = StoredRows(40_000_000, 1, 0)
adjacency = jnp.zeros(1, jnp.int32), jnp.zeros(0, jnp.uint16)
run = jax.jit(lambda xs: project_rows(rows, adjacency, jnp.zeros(0), xs, jnp.dtype("float32")))
xs = jnp.zeros(rows.inputs, bool)
print(run(xs))
pages = int(open("/proc/self/statm").read().split()[0])
# The list of spikes has 160 MB.
limit = pages * resource.getpagesize() + 100_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    print(run(xs))
except Exception as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells its memory")
def test_a_kernel_without_memory_fails():
    done = subprocess.run(
        [sys.executable, "-c", _OUT_OF_MEMORY], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("[0.]\n")
    assert "has failed, for want of memory" in done.stdout, done.stderr

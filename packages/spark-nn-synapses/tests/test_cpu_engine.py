"""The engine of CPUs: its bridge to XLA, beside the header of jaxlib, and what stays in place."""

import re
import threading
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from flax import nnx

from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    RandomConnectivity,
    SparseConnectivity,
    TracedSynapses,
    _cpu,
)
from spark.nn.components.synapses._cpu import bridge

from .connected import built
from .kinds import spikes

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(
        jax.default_backend() != "cpu", reason="the engine runs in programs for a CPU"
    ),
]

HEADER = (Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h").read_text()


def fields(struct):
    """Name and type of the fields of a structure of the header."""
    body = re.search(rf"struct {struct} {{(.*?)\n}}", HEADER, re.S)[1]
    body = re.sub(r"//.*", "", body)
    body = re.sub(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", r"void* \1", body)
    found = []
    for line in filter(None, map(str.strip, body.split(";"))):
        *kind, name = re.sub(r"\*", "* ", line).split()
        found.append((name, " ".join(kind)))
    return found


def layout(struct):
    """Offset of each field, and the size, as C lays them out: each at a multiple of its size."""
    offsets, at, widest = {}, 0, 4
    for name, kind in fields(struct):
        if "*" in kind or kind in ("size_t", "int64_t"):
            size = align = 8
        elif kind in ("int", "XLA_FFI_Handler_Traits") or (
            re.search(rf"^}} {kind};", HEADER, re.M) and not re.search(rf"struct {kind} {{", HEADER)
        ):
            size = align = 4
        else:
            size, align = layout(kind)["end"], 8
        at = -(-at // align) * align
        offsets[name], at, widest = at, at + size, max(widest, align)
    return offsets | {"end": -(-at // widest) * widest, "last": at}


def test_structures_are_those_of_the_header():
    frame = layout("XLA_FFI_CallFrame")
    assert (frame["extension_start"], frame["api"]) == (8, 16)
    assert frame["args"] + layout("XLA_FFI_Args")["args"] == bridge.OPERANDS
    assert frame["rets"] + layout("XLA_FFI_Rets")["rets"] == bridge.RESULTS
    buffer = layout("XLA_FFI_Buffer")
    assert [buffer[name] for name in ("data", "rank", "dims")] == [24, 32, 40]
    version = layout("XLA_FFI_Api_Version")
    at = layout("XLA_FFI_Metadata")["api_version"]
    assert (at + version["major_version"], at + version["minor_version"]) == (24, 28)
    assert layout("XLA_FFI_Extension_Base")["type"] == 8
    assert layout("XLA_FFI_Metadata_Extension")["metadata"] == 24
    assert "XLA_FFI_Extension_Metadata = 1" in HEADER
    assert layout("XLA_FFI_Api")["XLA_FFI_Error_Create"] == 48
    create = layout("XLA_FFI_Error_Create_Args")
    assert [create[name] for name in ("message", "errc", "last")] == [16, 24, 28]
    assert f"XLA_FFI_Error_Code_INVALID_ARGUMENT = {bridge.INVALID_ARGUMENT}" in HEADER


def test_another_version_of_the_interface_is_told_and_xla_goes_on_alone(monkeypatch):
    xs, connectivity = spikes(1, (7, 20)), FixedFanOut(fan_out=3)
    expected = built(connectivity, 20, 9).scan(xs)

    def unknown():
        raise bridge.InterfaceError("jaxlib has version 7.7")

    monkeypatch.setattr(bridge, "version", unknown)
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


def test_an_unknown_version_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(bridge, "KNOWN", {(0, 0)})
    bridge.version.cache_clear()
    with pytest.raises(bridge.InterfaceError, match=r"has version 0\.\d of XLA's foreign function"):
        bridge.version()
    bridge.version.cache_clear()


def test_there_is_one_target_for_each_kernel_and_dtypes():
    module = built(RandomConnectivity(probability=0.2), 30, 20)
    module(spikes(3, 30))
    before = _cpu._made.cache_info().currsize
    for inputs in (40, 50):  # other programs, of the same dtypes
        built(RandomConnectivity(probability=0.3), inputs, 25)(spikes(4, inputs))
    assert _cpu._made.cache_info().currsize == before


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
    ring = ",".join(map(str, module.drive_on_way.places[...].shape))
    assert f"f32[{ring}]" in program
    inside, copied = program.split("ENTRY")[0], rf"(f32\[({ring}|3000)\])\S* copy\("
    assert not re.search(copied, inside)

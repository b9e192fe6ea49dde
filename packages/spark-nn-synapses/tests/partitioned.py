"""Synapses cut over devices beside the same on one: `python partitioned.py [folder process port]`.

Without arguments on 8 virtual devices of one process; with them as one of two processes that have 4
each, which save a run to a folder and resume it too. Prints what it compared.
"""

import os
import re
import sys


def main(folder=None, process=None, port=None):
    """Run every way of cutting, and compare; draw kernels that are refused; save and resume."""
    devices = 8 if process is None else 4
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if process is not None:
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    assert jax.device_count() == 8
    runs = RUNS if process is None else [(0, name) for name in ACROSS_PROCESSES]
    compared = [compare(name, CUTS[name], *CASES[number]) for number, name in runs]
    refused = [refuse(CUTS[name]) for name in ("inputs", "all")]
    resumed = [resume(name, CUTS[name], folder) for name in ("targets", "all") if folder]
    print(f"{len(compared)} equal, {len(refused)} refused, {len(resumed)} resumed")


# Time constants, dtype and projection.
CASES = [
    ("scalar", "float16", "auto"),
    ("scalar", "float32", "events"),
    ("groups", "float32", "dense"),
    ("synapse", "float32", "auto"),
]

# Axes of the mesh, and what each cuts.
CUTS = {
    "targets": {"targets": 8},
    "inputs": {"inputs": 8},
    "batch": {"batch": 8},
    "all": {"batch": 2, "inputs": 2, "targets": 2},
}

# Which case is cut how: each of both in several ways, and all axes cut in every case.
RUNS = [
    (0, "inputs"),
    (0, "batch"),
    (0, "all"),
    (1, "targets"),
    (1, "all"),
    (2, "inputs"),
    (2, "batch"),
    (2, "all"),
    (3, "targets"),
    (3, "all"),
]

# Cuts by which each axis runs across both processes: in "all", that of the batch.
ACROSS_PROCESSES = ["targets", "inputs", "all"]


def over_devices(cut):
    """All devices, as a partition with these axes."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from spark.nn.components.synapses import Partition

    mesh = Mesh(np.array(jax.devices()).reshape(tuple(cut.values())), tuple(cut))
    return Partition(mesh, **{axis: axis for axis in cut})


def compare(name, cut, tau, dtype, projection):
    """A sequence, a step and a gradient, cut and whole."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax import nnx
    from jax.experimental import multihost_utils
    from jax.sharding import NamedSharding, PartitionSpec

    from spark.core.tracers.testing import tolerance
    from spark.nn.components.synapses import InputSpec, TracedSynapses

    rng = np.random.default_rng(0)
    xs = rng.random((6, 8, 8, 4)) < 0.2  # time, batch, inputs
    taus = {
        "scalar": 5.0,
        "groups": np.where(np.arange(4) % 3, 5.0, 9.0)[None, None, None],
        "synapse": rng.uniform(3, 9, (16, 2, 8, 4)),
    }
    # Multiples of 1/8 add up to the same in any order; others do as long as the order is the same.
    ordered = projection == "events" and name in ("targets", "batch") and tau != "synapse"
    kernel = rng.normal(size=(16, 2, 8, 4)) if ordered else rng.integers(-8, 9, (16, 2, 8, 4)) / 8

    def make(partition=None):
        synapses = TracedSynapses(
            units=(16, 2),
            tau=taus[tau],
            kernel_initializer=kernel,
            dtype=dtype,
            projection=projection,
        )
        synapses.build({"spikes": InputSpec((8, 4), batch=(8,))}, partition=partition)
        return synapses

    def whole_of(array):
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))

    def loss(weights, graph, rest, xs):
        synapses = nnx.merge(graph, weights, rest, copy=True)
        return jnp.sum(synapses.scan(xs).value.astype(jnp.float32) ** 2)

    partition = over_devices(cut)
    one, several = make(), make(partition)
    graph, weights, rest = nnx.split(several, nnx.Param, ...)
    program = jax.jit(jax.grad(loss), static_argnums=1).lower(weights, graph, rest, xs).compile()
    text = program.as_text()
    assert not re.findall(r".*(?:all-gather|all-to-all).*", text)
    if set(cut) <= {"targets"} and projection == "events":
        run = jax.jit(lambda *parts: nnx.merge(graph, *parts, copy=True).scan(xs).value)
        assert "all-reduce" not in run.lower(weights, rest).compile().as_text()

    moments = nnx.state(nnx.Optimizer(several, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param))
    (momentum,) = [each for each in jax.tree.leaves(moments) if each.shape == (32, 32)]
    assert momentum.sharding.is_equivalent_to(several.weights.get_value().sharding, 2)

    gradient = whole_of(program(weights, rest, xs)["matrix"]["weights"].get_value())
    expected = jax.grad(loss)(*(lambda g, w, r: (w, g, r))(*nnx.split(one, nnx.Param, ...)), xs)
    expected = np.asarray(expected["matrix"]["weights"].get_value())
    slack = tolerance("gradient", dtype) * np.abs(expected).max()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=slack)

    # Of a kernel of eighths, a sum of inputs crosses devices without rounding.
    rounding = tolerance("crossing" if tau == "synapse" else "devices", dtype)
    for call in (lambda s: s.scan(xs), lambda s: s(xs[0])):
        found, expected = whole_of(call(several).value), np.asarray(call(one).value)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * largest)
    several.kernel = 2 * several.kernel.value
    several.reset()
    parts = (axis if axis in cut else None for axis in ("inputs", "targets"))
    assert several.weights.get_value().sharding.spec == PartitionSpec(*parts)
    np.testing.assert_array_equal(whole_of(several.kernel.value), np.asarray(2 * one.kernel.value))
    trace = several.current_tracer.trace.get_value()
    spec = nnx.get_partition_spec(nnx.state(several))["current_tracer"]["trace"].get_raw_value()
    assert trace.sharding.is_equivalent_to(NamedSharding(partition.mesh, spec), trace.ndim)
    return name


def refuse(cut):
    """A kernel with faults in two parts: the same words as on one device, and nothing changed."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from spark.nn.components.synapses import InputSpec, TracedSynapses

    def faulty(key, shape, dtype):
        kernel = jax.random.normal(key, shape, dtype)
        return kernel.at[13, 1, 5, 2].set(jnp.inf).at[13, 1, 6, 0].set(jnp.nan)

    words = []
    for partition in (None, over_devices(cut)):
        synapses = TracedSynapses(units=(16, 2), kernel_initializer=faulty, rngs=nnx.Rngs(0))
        try:
            synapses.build({"spikes": InputSpec((8, 4), batch=(8,))}, partition=partition)
        except ValueError as error:
            words.append(str(error))
        assert synapses.chain is synapses.weights is synapses.current_tracer is None
        assert not any(jax.tree.leaves(nnx.state(synapses, nnx.RngCount)))
    message = "kernel_initializer must be finite in float32, got inf at index (13, 1, 5, 2)."
    assert words == [message] * 2
    return words


def resume(name, cut, folder):
    """A run that all processes save and go on with: bit for bit the run that was never cut."""
    import numpy as np
    from jax.experimental import multihost_utils

    from spark.core import checkpoints
    from spark.nn.components.synapses import InputSpec, TracedSynapses

    def make(seed):
        synapses = TracedSynapses(units=16, tau=5.0, seed=seed)
        synapses.build({"spikes": InputSpec((8,), batch=(8,))}, partition=over_devices(cut))
        return synapses

    def numbers(array):
        return np.asarray(multihost_utils.process_allgather(array.value, tiled=True))

    xs = np.random.default_rng(0).random((12, 8, 8)) < 0.2
    whole, first, second = make(0), make(0), make(1)
    expected = numbers(whole.scan(xs, "sequential"))
    first.scan(xs[:5], "sequential")
    checkpoints.save(f"{folder}/{name}", 5, first)
    assert checkpoints.restore(f"{folder}/{name}", second) == 5
    found = numbers(second.scan(xs[5:], "sequential"))
    np.testing.assert_array_equal(found, expected[5:])
    return name


if __name__ == "__main__":
    main(*sys.argv[1:])

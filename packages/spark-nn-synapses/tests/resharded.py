"""Runs that are saved on one mesh and go on with on others: `python resharded.py [process port]`.

Without arguments on 4 virtual devices of one process; with them as one of two processes that have 2
each. Prints how many runs it compared.
"""

import os
import sys

TIME, SAVED_AT = 12, 5

# "one" is no mesh; of two processes, each then has a whole module.
MESHES = ["one", "targets", "both", "inputs"]

# Connections and delays that are laid out by device: each has other arrays to lay out anew.
CASES = [
    ("one length", "connections", "DoubleTraced"),
    ("dense", "connections", "Linear"),
    ("drawn late", "none", "RUTraced"),
    ("blocks", "none", "Traced"),
]


def main(folder, process=None, port=None):
    """Save on each mesh, and go on with each."""
    devices = 4 if process is None else 2
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if process is not None:
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    assert jax.device_count() == 4
    cases = CASES if process is None else CASES[:1]
    compared = sum(resume(f"{folder}/{number}", *case) for number, case in enumerate(cases))
    print(f"{compared} resumed")


def resume(folder, connectivity, delays, cls):
    """What goes on is bit for bit what was never cut, on the same mesh or if no sum crosses."""
    import jax
    import numpy as np
    import sharded
    from jax.experimental import multihost_utils

    from spark.core import checkpoints
    from spark.core.tracers.testing import tolerance

    case = {name: values[0] for name, values in sharded.FACTORS.items()}
    case |= {"connectivity": connectivity, "delays": delays, "cls": cls}
    several = jax.process_count() > 1
    meshes = [name for name in MESHES if not (several and name == "one")]

    def make(name, seed):
        partition = None if name == "one" else sharded.over_devices(name)
        return sharded.make(case, partition, seed)

    def currents(synapses, xs):
        value = synapses.scan(xs, "sequential").value
        return np.asarray(multihost_utils.process_allgather(value, tiled=True))

    xs = np.random.default_rng(0).random((TIME, sharded.INPUTS)) < 0.2
    whole = make("one", 0)
    expected = np.asarray(whole.scan(xs, "sequential").value)
    for first in meshes:
        saved = make(first, 0)
        saved.scan(xs[:SAVED_AT], "sequential")
        checkpoints.save(f"{folder}/{first}", SAVED_AT, saved)
        never_cut = currents(saved, xs[SAVED_AT:])
        for then in meshes:
            resumed = make(then, 1)  # with other connections, so that each device has more or less
            assert checkpoints.restore(f"{folder}/{first}", resumed) == SAVED_AT
            np.testing.assert_array_equal(resumed.kernel, whole.kernel)
            for ours, theirs in zip(resumed.connections, whole.connections, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            found = currents(resumed, xs[SAVED_AT:])
            if first == then:
                np.testing.assert_array_equal(found, never_cut)
            crossing = {first, then} & {"both", "inputs"}
            rounding = tolerance("crossing" if crossing else "devices", "float32")
            atol = rounding * np.abs(expected).max()
            np.testing.assert_allclose(found, expected[SAVED_AT:], rtol=0, atol=atol)
    return len(meshes) ** 2


if __name__ == "__main__":
    main(*sys.argv[1:])

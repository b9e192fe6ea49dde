"""Traces and spikes of connections, on several devices: `python owned.py folder [process port]`.

On 4 virtual devices of one process: all pairs of the factors, each beside the same on one device.
Of two processes, each has 2 and compares some. Prints how many it compared.
"""

import os
import sys

INPUTS, TARGETS, BATCH, TIME = 16, 12, 4, 9

FACTORS = {
    "connectivity": ["stored", "dense"],
    "cls": ["Linear", "Traced", "DoubleTraced"],
    "tau": ["scalar", "groups", "inputs", "connections"],
    "scale": ["inputs", "connections", "targets"],
    "async_spikes": [False, True],
    "delayed": [False, True],
    "cut": ["targets", "inputs", "batch", "both", "batch and targets", "batch and inputs"],
    "batch": [(), (BATCH,)],
    "spikes": ["booleans", "graded"],
}


def allowed(case):
    """Whether a case makes sense, and has connections with something of their own."""
    if "batch" in case.get("cut", "") and case.get("batch") == ():
        return False
    linear, tau = case.get("cls") == "Linear", case.get("tau", "inputs")
    traced = not linear and tau in ("inputs", "connections")
    if linear and (case.get("tau", "scalar"), case.get("scale", "inputs")) != ("scalar", "inputs"):
        return False
    if case.get("scale") == "targets" and not traced:
        return False  # trained, and read for each trace of a connection
    if case.get("async_spikes") and case.get("delayed"):
        return False  # they have come with their delays
    return traced or case.get("async_spikes", True)


# What two processes compare.
ACROSS = [
    {"tau": "connections"},
    {"tau": "inputs", "connectivity": "dense", "delayed": True},
    {"tau": "connections", "async_spikes": True, "batch": (BATCH,)},
    {"tau": "groups", "async_spikes": True},
]


def main(folder, process=None, port=None):
    """Compare all cases; save to a folder, and resume."""
    devices = 4 if process is None else 2
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if process is not None:
        import jax

        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
        for more in ACROSS:
            compare_across(more)
        print(f"{len(ACROSS)} equal")
        return
    from covering import all_pairs

    cases = all_pairs(FACTORS, allowed)
    for case in cases:
        try:
            compare(case)
        except BaseException:
            print(case, file=sys.stderr)
            raise
    for spiking in (False, True):
        resume(folder, spiking)
    print(f"{len(cases)} equal")


def make(case, partition=None):
    """Synapses as a case says."""
    import numpy as np

    from spark.nn.components import synapses as library

    rng = np.random.default_rng(3)
    options = {"async_spikes": case["async_spikes"]}
    if case["cls"] != "Linear":
        name, scale = ("tau_1", "scale_1") if case["cls"] == "DoubleTraced" else ("tau", "scale")
        options[name] = {
            "scalar": 5.0,
            "groups": np.where(np.arange(INPUTS) % 3, 5.0, 9.0)[None],
            "inputs": rng.uniform(3, 9, (1, INPUTS)),
            "connections": rng.uniform(3, 9, (TARGETS, INPUTS)),
        }[case["tau"]]
        if case["tau"] in ("inputs", "connections"):
            options["trainable"] = (name, scale) if case["scale"] == "targets" else name
        shapes = {"inputs": (1, INPUTS), "connections": (TARGETS, INPUTS), "targets": TARGETS}
        options[scale] = rng.uniform(0.5, 1, shapes[case["scale"]])
    if case["delayed"]:
        options["delays"] = 1.0 * rng.integers(4, size=(TARGETS, INPUTS))
    if case["connectivity"] == "stored":
        options["connectivity"] = library.RandomConnectivity(probability=0.4)
    module = getattr(library, f"{case['cls']}Synapses")(units=TARGETS, dtype="float32", **options)
    each = case["async_spikes"] and case["connectivity"] == "dense"
    shape = (TARGETS, INPUTS) if each else (INPUTS,)
    spec = library.InputSpec(shape, case["async_spikes"], case["batch"])
    module.build({"spikes": spec}, partition=partition)
    return module


def compare(case):
    """Kernel, connections, a sequence, a step and gradients, sharded and whole."""
    import numpy as np
    import sharded

    from spark.core.tracers.testing import tolerance

    one, several = make(case), make(case, sharded.over_devices(case["cut"]))
    np.testing.assert_array_equal(several.kernel, one.kernel)
    for found, expected in zip(several.connections, one.connections, strict=True):
        np.testing.assert_array_equal(found, expected)
    rng = np.random.default_rng(0)
    xs = rng.random((TIME, *case["batch"], *one.matrix.spikes_shape)) < 0.3
    if case["spikes"] == "graded":
        xs = (xs * rng.uniform(-1, 1, xs.shape)).astype(np.float32)
    rounding = tolerance("crossing", "float32")
    sharded.same_currents(one, several, xs, case["batch"], rounding)

    arrays = []
    for module in (several, one):
        by_parameters, found = sharded.gradients(module, xs, case["spikes"] == "graded")
        stage = "_1" if case["cls"] == "DoubleTraced" else ""
        for name in ("tau", "scale"):  # where the traces of connections lie is another matter
            if case[name] == {"tau": "inputs", "scale": "targets"}[name]:
                of_name = by_parameters["current_tracer"][name + stage]
                found.append(np.asarray(of_name.get_value()))
        arrays.append(found)
    sharded.same_gradients(several, *arrays, "float32")


def compare_across(more):
    """Kernel and a sequence, sharded over devices of two processes and whole."""
    import numpy as np
    import sharded
    from jax.experimental import multihost_utils

    from spark.core.tracers.testing import tolerance

    case = {name: values[0] for name, values in FACTORS.items()} | {"cls": "Traced"} | more
    one, several = make(case), make(case, sharded.over_devices("both"))
    if case["connectivity"] == "stored":
        several.kernel = one.kernel.value
        np.testing.assert_array_equal(several.kernel, one.kernel)
    xs = np.random.default_rng(0).random((TIME, *case["batch"], *one.matrix.spikes_shape)) < 0.3
    expected = np.asarray(one.scan(xs).value)
    found = multihost_utils.process_allgather(several.scan(xs).value, tiled=True)
    atol = tolerance("crossing", "float32") * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def resume(folder, spiking):
    """A run that is saved and goes on, on the same mesh: bit for bit the run that was never cut."""
    import numpy as np
    import sharded

    from spark.core import checkpoints

    case = {name: values[0] for name, values in FACTORS.items()}
    case |= {"cls": "Traced", "tau": "connections", "async_spikes": spiking}
    first, second = (make(case, sharded.over_devices("both")) for _ in range(2))
    xs = np.random.default_rng(0).random((TIME, *first.matrix.spikes_shape)) < 0.3
    first.scan(xs[:5])
    checkpoints.save(f"{folder}/{spiking}", 5, first)
    assert checkpoints.restore(f"{folder}/{spiking}", second) == 5
    np.testing.assert_array_equal(second.scan(xs[5:]).value, first.scan(xs[5:]).value)


if __name__ == "__main__":
    main(*sys.argv[1:])

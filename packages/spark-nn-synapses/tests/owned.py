"""Traces and spikes of connections, on several devices: `python owned.py folder [process port]`.

On 4 virtual devices of one process: all pairs of the factors, each beside the same on one device.
Of two processes, each has 2 and compares some. Prints how many it compared.
"""

import os
import sys

# Each device has a multiple of 32 traces: XLA rounds the sum and product of other traces
# once or twice.
INPUTS, TARGETS, BATCH, TIME = 32, 128, 4, 9

FACTORS = {
    "connectivity": ["stored", "dense"],
    "cls": ["Linear", "Traced", "DoubleTraced"],
    "tau": ["scalar", "groups", "inputs", "connections", "drawn"],
    "scale": ["inputs", "connections", "targets", "drawn"],
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
    traced = not linear and tau in ("inputs", "connections", "drawn")
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
    {"tau": "drawn", "scale": "drawn"},
]

# What goes on on other meshes; "one" is none, and of two processes each then has a whole module.
MESHES = ["one", "targets", "both", "inputs"]
SAVED_AT = 5
RESUMED = [
    {"tau": "connections", "cls": "DoubleTraced", "delayed": True, "scale": "connections"},
    {"tau": "inputs", "connectivity": "dense", "delayed": True, "scale": "targets"},
    {"tau": "connections", "async_spikes": True, "scale": "targets", "batch": (BATCH,)},
    {"tau": "groups", "async_spikes": True, "scale": "connections"},
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
        resumed = sum(resume(f"{folder}/{i}", more) for i, more in enumerate(RESUMED[1:3]))
        print(f"{len(ACROSS)} equal, {resumed} resumed")
        return
    from covering import all_pairs

    cases = all_pairs(FACTORS, allowed)
    for case in cases:
        try:
            compare(case)
        except BaseException:
            print(case, file=sys.stderr)
            raise
    resumed = sum(resume(f"{folder}/{number}", more) for number, more in enumerate(RESUMED))
    take_over(f"{folder}/other")
    print(f"{len(cases)} equal, {resumed} resumed")


def make(case, partition=None, seed=0):
    """Synapses as a case says."""
    import numpy as np

    from spark.nn.components import synapses as library

    rng = np.random.default_rng(3)
    options = {"async_spikes": case["async_spikes"]}
    drawn = library.Drawn(distribution=library.Uniform(low=3.0, high=9.0), per="connection")
    if case["cls"] != "Linear":
        name, scale = ("tau_1", "scale_1") if case["cls"] == "DoubleTraced" else ("tau", "scale")
        options[name] = {
            "scalar": 5.0,
            "groups": np.where(np.arange(INPUTS) % 3, 5.0, 9.0)[None],
            "inputs": rng.uniform(3, 9, (1, INPUTS)),
            "connections": rng.uniform(3, 9, (TARGETS, INPUTS)),
            "drawn": drawn,
        }[case["tau"]]
        if case["tau"] in ("inputs", "connections", "drawn"):
            options["trainable"] = (name, scale) if case["scale"] == "targets" else name
        shapes = {"inputs": (1, INPUTS), "connections": (TARGETS, INPUTS), "targets": TARGETS}
        options[scale] = drawn
        if case["scale"] != "drawn":
            options[scale] = rng.uniform(0.5, 1, shapes[case["scale"]])
    if case["delayed"]:
        options["delays"] = 1.0 * rng.integers(4, size=(TARGETS, INPUTS))
    if case["connectivity"] == "stored":
        options["connectivity"] = library.RandomConnectivity(probability=0.4)
    if case["connectivity"] == "one length":
        options["connectivity"] = library.FixedFanOut(fan_out=9)
    module = getattr(library, f"{case['cls']}Synapses")(
        units=TARGETS, dtype="float32", seed=seed, **options
    )
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


def resume(folder, more):
    """What goes on is what was never cut: bit for bit, if no sum crosses."""
    import jax
    import numpy as np
    import sharded
    from jax.experimental import multihost_utils

    from spark.core import checkpoints
    from spark.core.tracers.testing import tolerance

    case = {name: values[0] for name, values in FACTORS.items()} | {"cls": "Traced"} | more
    several = jax.process_count() > 1
    meshes = [name for name in MESHES if not (several and name == "one")]
    if not case["delayed"]:
        meshes.remove("inputs")  # only sums on their way have another order there

    def make_on(name):
        return make(case, None if name == "one" else sharded.over_devices(name))

    def train(synapses):
        for name in synapses.current_tracer.trainable:
            variable = getattr(synapses.current_tracer, name)
            variable.set_value(variable.get_value() * 1.25)

    def numbers(payload):
        return np.asarray(multihost_utils.process_allgather(payload.value, tiled=True))

    def currents(synapses, xs):
        return numbers(synapses.scan(xs, "sequential"))

    whole = make_on("one")
    shape = (*case["batch"], *whole.matrix.spikes_shape)
    xs = np.random.default_rng(0).random((TIME, *shape)) < 0.3
    whole.kernel = whole.kernel.value * 2
    train(whole)
    expected = np.asarray(whole.scan(xs, "sequential").value)
    for first in meshes:
        saved = make_on(first)
        saved.kernel = whole.kernel.value
        train(saved)
        saved.scan(xs[:SAVED_AT], "sequential")
        checkpoints.save(f"{folder}/{first}", SAVED_AT, saved)
        never_cut = currents(saved, xs[SAVED_AT:])
        for then in meshes:
            resumed = make_on(then)
            resumed.scan(xs[:2])
            assert checkpoints.restore(f"{folder}/{first}", resumed) == SAVED_AT
            np.testing.assert_array_equal(numbers(resumed.kernel), whole.kernel)
            for ours, theirs in zip(resumed.connections, whole.connections, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            found = currents(resumed, xs[SAVED_AT:])
            if first == then or not {first, then} & {"both", "inputs"}:
                np.testing.assert_array_equal(found, never_cut)
            atol = tolerance("crossing", "float32") * np.abs(expected).max()
            np.testing.assert_allclose(found, expected[SAVED_AT:], rtol=0, atol=atol)
    return len(meshes) ** 2


def take_over(folder):
    """Other connections are taken over where they fit, and refused where they do not."""
    import numpy as np
    import sharded

    from spark.core import checkpoints

    case = {name: values[0] for name, values in FACTORS.items()}
    case |= {"cls": "Traced", "tau": "connections", "connectivity": "one length"}
    one, other = make(case), make(case, seed=1)
    several, others = (make(case, sharded.over_devices("targets"), seed) for seed in (0, 1))
    xs = np.random.default_rng(0).random((TIME, INPUTS)) < 0.3
    several.scan(xs)
    checkpoints.save(folder, 1, several)
    for module in (one, other):
        checkpoints.restore(folder, module)
    np.testing.assert_array_equal(other.scan(xs).value, one.scan(xs).value)
    np.testing.assert_array_equal(other.connections, several.connections)
    checkpoints.save(folder, 2, one)
    before = np.asarray(others.scan(xs).value)
    others.reset()
    try:
        checkpoints.restore(folder, others)
    except checkpoints.CheckpointError as error:
        assert "other connections than in the checkpoint" in str(error)  # noqa: PT017
    else:
        raise AssertionError("connections that need other shapes were taken over")
    np.testing.assert_array_equal(others.scan(xs).value, before)


if __name__ == "__main__":
    main(*sys.argv[1:])

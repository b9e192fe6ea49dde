"""Connections, delays and plasticity sharded over devices: `python sharded.py [part parts]`.

On 4 virtual devices of one process. All pairs of the factors, each beside the same on one device;
with arguments some part of them. Prints how many it compared.
"""

import os
import re
import sys

# Each device has a multiple of 32 traces, of targets and of inputs: XLA rounds the sum and product
# of others once or twice.
INPUTS, TARGETS, BATCH, TIME = 128, 128, 4, 12

CUTS = {
    "targets": {"targets": 4},
    "inputs": {"inputs": 4},
    "batch": {"batch": 4},
    "both": {"inputs": 2, "targets": 2},
    "batch and targets": {"batch": 2, "targets": 2},
    "batch and inputs": {"batch": 2, "inputs": 2},
}

FACTORS = {
    "connectivity": ["dense", "one length", "many lengths", "blocks", "drawn", "drawn late"],
    "delays": ["none", "inputs", "connections"],
    "cls": ["Linear", "Traced", "DoubleTraced", "RUTraced", "SaturatingTraced"],
    "tau": ["scalar", "targets", "groups", "synapse"],
    "scale": ["scalar", "inputs", "connections", "drawn"],
    "cut": list(CUTS),
    "batch": [(), (BATCH,)],
    "spikes": ["booleans", "graded"],
    "projection": ["events", "dense"],
    "dtype": ["float32", "float16"],
}


def allowed(case):
    """Whether a case makes sense; or is refused on one device too."""
    if "batch" in case.get("cut", "") and case.get("batch") == ():
        return False
    if case.get("cls") == "Linear" and (
        case.get("tau", "scalar") != "scalar" or case.get("scale", "scalar") != "scalar"
    ):
        return False
    if case.get("cls") == "SaturatingTraced" and case.get("tau") in ("targets", "synapse"):
        return False  # gates are of inputs, and close as currents decay
    sparse = case.get("connectivity", "dense") != "dense" or case.get("delays") == "connections"
    if case.get("tau") == "synapse" and sparse:
        return False
    connectivity = case.get("connectivity", "")
    if connectivity in ("blocks", "drawn late") and case.get("delays", "none") != "none":
        return False  # they have delays of their own
    drawn = connectivity in ("drawn", "drawn late")
    return not (drawn and "connections" in (case.get("delays"), case.get("scale")))


def main(part=0, parts=1):
    """Compare some of the cases."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_PLATFORMS"] = "cpu"
    from covering import all_pairs

    cases = all_pairs(FACTORS, allowed)
    for case in cases[int(part) :: int(parts)]:
        try:
            compare(case)
        except BaseException:
            print(case, file=sys.stderr)
            raise
    if int(part) == 0:
        count_what_crosses("Traced", "connections", "targets")
        count_what_crosses("RUTraced", "inputs", "targets")
        count_what_crosses("RUTraced", "connections", "inputs")
        count_what_crosses("Traced", "none", "targets")
        cross_in_any_number()
    print(f"{len(cases[int(part) :: int(parts)])} of {len(cases)} equal")


def over_devices(name):
    """All devices, as a partition with these axes."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from spark.nn.components.synapses import Partition

    cut = CUTS[name]
    mesh = Mesh(np.array(jax.devices()).reshape(tuple(cut.values())), tuple(cut))
    return Partition(mesh, **{axis: axis for axis in cut})


def make(case, partition=None, seed=0):
    """Synapses as a case says."""
    import numpy as np

    from spark.nn.components import synapses as library

    rng = np.random.default_rng(1)
    halves = (0, INPUTS // 2), (INPUTS // 2, INPUTS)
    blocks = [
        library.Block(
            rule=library.FixedTotal(connections=700, multapses=True),
            pre=half,
            weights=library.Normal(mean=1.0, std=0.2),
            delays=library.Uniform(low=0.0, high=3.0),
        )
        for half in halves
    ]
    connectivity = {
        "dense": "dense",
        "one length": library.FixedFanOut(fan_out=9),
        "many lengths": library.RandomConnectivity(probability=0.1),
        "blocks": library.BlockConnectivity(blocks=blocks),
        "drawn": library.ProceduralConnectivity(fan_out=9, law="normal"),
        "drawn late": library.ProceduralConnectivity(
            fan_out=9, delays=library.Uniform(low=0.0, high=3.0)
        ),
    }[case["connectivity"]]
    shape = {"inputs": (INPUTS,), "connections": (TARGETS, INPUTS)}.get(case["delays"])
    options = {} if shape is None else {"delays": 1.0 * rng.integers(4, size=shape)}
    if case["cls"] != "Linear":
        second = "_1" if case["cls"] == "DoubleTraced" else ""
        options["tau" + second] = {
            "scalar": 5.0,
            "targets": rng.uniform(3, 9, TARGETS),
            "groups": np.where(np.arange(INPUTS) % 3, 5.0, 9.0)[None],
            "synapse": rng.uniform(3, 9, (TARGETS, INPUTS)),
        }[case["tau"]]
        options["scale" + second] = {
            "scalar": 0.5,
            "inputs": rng.uniform(0.5, 1, (1, INPUTS)),
            "connections": rng.uniform(0.5, 1, (TARGETS, INPUTS)),
            "drawn": library.Drawn(
                distribution=library.Normal(mean=1.0, std=0.2), per="connection"
            ),
        }[case["scale"]]
    module = getattr(library, f"{case['cls']}Synapses")(
        units=TARGETS,
        connectivity=connectivity,
        projection=case["projection"],
        dtype=case["dtype"],
        seed=seed,
        **options,
    )
    spec = library.InputSpec((INPUTS,), batch=case["batch"])
    module.build({"spikes": spec}, partition=partition)
    return module


def same_currents(one, several, xs, batch, rounding):
    """Sequences, steps, lengths and resets give the same, within a part of the largest current."""
    import numpy as np

    calls = [lambda s: s.scan(xs), lambda s: s(xs[0])]
    if batch:
        some = np.arange(BATCH) % 2 == 0
        calls += [
            lambda s: s.scan(xs, lengths=np.arange(BATCH)),
            lambda s: s.masked_reset(some) or s.scan(xs),
        ]
    for call in calls:
        found, expected = np.asarray(call(several).value), np.asarray(call(one).value)
        largest = np.abs(expected).max()
        assert largest > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * largest)


def gradients(module, xs, graded):
    """Of a loss by all parameters; and as arrays by the kernel, in its order, and graded spikes.

    The module is left with the gradient in place of its weights.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    def loss(weights, graph, rest, xs):
        synapses = nnx.merge(graph, weights, rest, copy=True)
        return jnp.sum(synapses.scan(xs).value.astype(jnp.float32) ** 2)

    graph, weights, rest = nnx.split(module, nnx.Param, ...)
    by = (0, 3) if graded else (0,)
    found, *by_spikes = jax.grad(loss, argnums=by)(weights, graph, rest, jnp.asarray(xs))
    module.weights.set_value(found["matrix"]["weights"].get_value())
    return found, [np.asarray(module.kernel.value), *map(np.asarray, by_spikes)]


def same_gradients(several, found, expected, dtype):
    """Within rounding; and a kernel that is set is the kernel that is read."""
    import numpy as np

    from spark.core.tracers.testing import tolerance

    for ours, theirs in zip(found, expected, strict=True):
        slack = tolerance("gradient", dtype) * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=slack)
    several.kernel = several.kernel.value
    np.testing.assert_array_equal(several.kernel, found[0])


def compare(case):
    """Kernel, connections, a sequence, a step and gradients, sharded and whole."""
    import numpy as np

    from spark.core.tracers.testing import tolerance

    rng = np.random.default_rng(0)
    xs = rng.random((TIME, *case["batch"], INPUTS)) < 0.1
    if case["spikes"] == "graded":
        xs = (xs * rng.uniform(-1, 1, xs.shape)).astype(np.float32)
    one, several = make(case), make(case, over_devices(case["cut"]))
    np.testing.assert_array_equal(several.kernel, one.kernel)
    for found, expected in zip(several.connections, one.connections, strict=True):
        np.testing.assert_array_equal(found, expected)

    # What a product adds up has another order, and what crosses devices.
    ordered = "inputs" not in CUTS[case["cut"]] and case["tau"] != "synapse"
    by_rows = case["connectivity"] != "dense" or case["delays"] == "connections"
    same = ordered and (by_rows or case["projection"] == "events")
    rounding = tolerance("devices" if same else "crossing", case["dtype"])
    same_currents(one, several, xs, case["batch"], rounding)

    graded = case["spikes"] == "graded"
    _, found = gradients(several, xs, graded)
    _, expected = gradients(one, xs, graded)
    same_gradients(several, found, expected, case["dtype"])


def count_what_crosses(cls, delays, cut):
    """A compiled loop over steps: spikes that come in sharded cross once, and no ring is copied."""
    import jax
    import jax.numpy as jnp
    from flax import nnx
    from jax.sharding import NamedSharding, PartitionSpec

    case = {name: values[0] for name, values in FACTORS.items()}
    case |= {"connectivity": "many lengths", "cls": cls, "delays": delays, "cut": cut}
    partition = over_devices(cut)
    graph, weights, rest = nnx.split(make(case, partition), nnx.Param, ...)

    def run(weights, rest, xs):
        def step(rest, spikes):
            synapses = nnx.merge(graph, weights, rest)
            currents = synapses(spikes).value
            return nnx.state(synapses, nnx.Not(nnx.Param)), currents

        return jax.lax.scan(step, rest, xs)

    where = NamedSharding(partition.mesh, PartitionSpec(None, cut))
    xs = jax.device_put(jnp.zeros((TIME, INPUTS), bool), where)
    text = jax.jit(run).lower(weights, rest, xs).compile().as_text()
    crossing = re.findall(r" = (\w+)\[([\d,]*)\]\S* ((?:all|collective|reduce-s)[a-z-]+)\(", text)
    if cut == "targets":  # a bit for each input, in bytes of each device
        assert crossing == [("u8", f"4,{INPUTS // 32}", "all-gather")], crossing
    else:
        assert crossing == [("f32", f"{TARGETS}", "all-reduce")], crossing
    if delays == "none":
        return
    own = TARGETS // 4 if cut == "targets" else TARGETS
    rings = f"4,{own}", f"4,{INPUTS}", f"4,{INPUTS // 4}"
    bodies = [block for block in text.split("\n\n") if "custom-call(" in block]
    assert len(bodies) == 1, (
        f"one loop calls kernels of the CPU engine, got {len(bodies)}: none without numba, or with "
        "a jaxlib of another interface"
    )
    copied = re.findall(r" = \w+\[([\d,]*)\]\S* copy[a-z-]*\(", bodies[0])
    assert not {*rings} & {*copied}, copied


def cross_in_any_number():
    """Spikes that come in sharded are the same as bits, also where these do not fill bytes."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from spark.core.tracers.testing import tolerance
    from spark.nn.components.synapses import InputSpec, LinearSynapses
    from spark.nn.components.synapses._stages.crossing import Crossing

    for shape, cut in [((12,), "targets"), ((4, 9), "targets"), ((20, 3), "both"), ((7,), None)]:
        partition = over_devices(cut or "targets")
        spikes = np.random.default_rng(2).random((5, 2, *shape)) < 0.5
        whole, several = (LinearSynapses(units=8, dtype="float32") for _ in range(2))
        whole.build({"spikes": InputSpec(shape, batch=(2,))})
        several.build({"spikes": InputSpec(shape, batch=(2,))}, partition=partition)
        expected = np.asarray(whole.scan(spikes).value)
        atol = tolerance("crossing", "float32") * np.abs(expected).max()
        for names in [(None, None, "targets"), ()] if cut else [()]:
            where = NamedSharding(partition.mesh, PartitionSpec(*names))
            xs = jax.device_put(spikes, where)
            packed = isinstance(several.chain.taking(xs).stages[0], Crossing)
            assert packed == (names != ())  # not what each device has already
            found = several.scan(xs).value
            np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


if __name__ == "__main__":
    main(*sys.argv[1:])

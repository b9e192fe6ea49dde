"""Connections that devices draw, or take from lists, beside one: `python drawn_by_device.py`.

On 4 virtual devices of one process: by NumPy and by the engine, with places of 16 bits and of 32.
Prints how many networks it compared.
"""

import itertools
import os

INPUTS = 8

# Places of a device take 16 bits if all of them, and the one of padding, are below 65536; else 32.
TARGETS = {"uint16": 4 * 1000, "int32": 4 * (1 << 16)}

# By each, some devices have fewer connections than others, and are padded.
RULES = ["FixedFanOut", "FixedTotal", "lists"]


def main():
    """Compare each way of drawing with each dtype of places and each partition."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_PLATFORMS"] = "cpu"
    cases = list(itertools.product(["numpy", "engine"], TARGETS, RULES, ["targets", "both"]))
    for case in cases:
        compare(*case)
    print(f"{len(cases)} equal")


def compare(way, places, rule, cut):
    """Kernel, connections and currents are those of one device."""
    import numpy as np
    from sharded import over_devices

    from spark.core.tracers.testing import tolerance
    from spark.nn.components import synapses as library
    from spark.nn.components.synapses import _drawing

    _drawing._FEW = 1 << 30 if way == "numpy" else 0
    assert (_drawing.engine_for(1) is None) == (way == "numpy")
    delayed = places == "uint16"
    connectivity = listed(delayed, TARGETS[places]) if rule == "lists" else drawn(rule, delayed)
    made = []
    for partition in (None, over_devices(cut)):
        module = library.LinearSynapses(
            units=TARGETS[places],
            connectivity=connectivity,
            dtype="float32",
        )
        module.build({"spikes": library.InputSpec((INPUTS,))}, partition=partition)
        made.append(module)
    one, several = made
    assert several.matrix.shards is not None
    own = (1 if cut == "targets" else 2) * TARGETS[places] // 4
    steps = several.matrix.rows.steps
    stored = several.matrix.adjacency[1].get_value()
    assert len(stored) == len(several.weights.get_value())
    assert stored.dtype == ("uint16" if steps * own < 1 << 16 else "int32") == places
    np.testing.assert_array_equal(several.kernel, one.kernel)
    for found, expected in zip(several.connections, one.connections, strict=True):
        np.testing.assert_array_equal(found, expected)
    spikes = np.random.default_rng(0).random((6, INPUTS)) < 0.5
    found, expected = (np.asarray(each.scan(spikes).value) for each in (several, one))
    largest = np.abs(expected).max()
    assert largest > 0
    atol = tolerance("crossing", "float32") * largest
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def drawn(rule, delayed):
    """One block."""
    from spark.nn.components import synapses as library

    count = {"FixedFanOut": {"fan_out": 100}, "FixedTotal": {"connections": 803, "multapses": True}}
    block = library.Block(
        rule=getattr(library, rule)(**count[rule]),
        weights=library.Normal(mean=1.0, std=0.1),
        delays=library.Uniform(low=0.0, high=3.0) if delayed else None,
    )
    return library.BlockConnectivity(blocks=[block])


def listed(delayed, targets):
    """Lists in no order, some pairs twice and the last device without any."""
    import numpy as np

    from spark.nn.components import synapses as library

    draw, size = np.random.default_rng(1), 701
    pre, post = draw.integers(0, INPUTS, size), draw.integers(0, 3 * targets // 4, size)
    post[-3:], pre[-3:] = post[:3], pre[:3]
    delays = draw.integers(0, 4, size).astype(float) if delayed else None
    if delayed:
        delays[-1] = 3.0
    weights = draw.normal(1.0, 0.1, size)
    return library.SparseConnectivity(pre=pre, post=post, weights=weights, delays=delays)


if __name__ == "__main__":
    main()

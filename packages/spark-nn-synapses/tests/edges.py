"""Rare cases on 4 virtual devices: `python edges.py`. Prints how many it compared."""

import os


def main():
    """Run each check."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_PLATFORMS"] = "cpu"
    print(f"{take_no_inputs()} without inputs, {warn_of_faint_currents()} warnings")


def take_no_inputs():
    """Of no inputs no current comes, and their gradient is as empty as they are."""
    import numpy as np
    from flax import nnx
    from sharded import over_devices

    from spark.nn.components import synapses as library

    late = library.ProceduralConnectivity(fan_out=2, delays=library.Uniform(low=0.0, high=3.0))
    stored = library.RandomConnectivity(probability=0.5)
    own = {"tau": np.full((8, 0), 5.0), "trainable": "tau"}
    cases = [
        {"delays": 2.0},
        {"connectivity": late},
        {"connectivity": stored, "projection": "dense"},
        {"connectivity": stored, "async_spikes": True},
        {"connectivity": stored, **own},
        own,
    ]
    cuts = [None, "targets", "inputs", "both"]
    for options in cases:
        for cut in cuts:
            module = library.TracedSynapses(units=8, dtype="float32", **options)
            spec = library.InputSpec((0,), module.config.async_spikes)
            module.build({"spikes": spec}, partition=over_devices(cut) if cut else None)
            for call in (module, lambda x, module=module: module.scan(x[None])):
                np.testing.assert_array_equal(call(np.zeros(0, bool)).value, 0)
            gradient = nnx.grad(lambda module: module(np.zeros(0, np.float32)).value.sum())(module)
            weights = gradient["matrix"]["weights"].get_value()
            assert weights.shape == module.weights.shape
    return len(cases) * len(cuts)


def warn_of_faint_currents():
    """The warning names the weight that it names on one device, in the order of users."""
    import warnings

    import numpy as np
    from sharded import over_devices

    from spark.nn.components import synapses as library

    blocks = [
        library.Block(
            rule=library.FixedFanOut(fan_out=5),
            pre=pre,
            weights=library.Normal(mean=mean, std=mean / 10),
        )
        for pre, mean in (((0, 4), 3e-7), ((4, 8), 1e-8))  # float16 holds none below 6e-8
    ]
    compared = 0
    for scale in [1.0, np.full((16, 8), 1.5)]:
        for cut in [None, "targets", "inputs", "both"]:
            module = library.TracedSynapses(
                units=16,
                scale=scale,
                connectivity=library.BlockConnectivity(blocks=blocks),
                dtype="float16",
            )
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                spec = {"spikes": library.InputSpec((8,))}
                module.build(spec, partition=over_devices(cut) if cut else None)
            (text,) = [str(each.message) for each in found if "a spike gives" in str(each.message)]
            # Four inputs of five connections come before.
            assert "along the weight at index (20,)" in text, text
            compared += 1
    return compared


if __name__ == "__main__":
    main()

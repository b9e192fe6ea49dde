"""Peak memory of a process that builds connections: `python remembered.py [process port]`.

Without arguments on one device; with them as one of two processes that have one each. Prints how
many bytes more than before the build the process held at its peak, as a part of those of the whole.
"""

import os
import re
import sys
from pathlib import Path

NEURONS, IN_DEGREE = 1 << 16, 1 << 8
WHOLE = NEURONS * IN_DEGREE * (4 + 4)  # bytes of targets and weights


def main(process=None, port=None):
    """Build once for what is compiled and imported, and then what is measured."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if process is not None:
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    build(NEURONS, 2)
    before = peak()
    synapses = build(NEURONS, IN_DEGREE)
    held = peak() - before
    assert synapses.matrix.rows.weights == NEURONS * IN_DEGREE
    print(f"{held / WHOLE:.3f}")


def peak():
    """Most bytes that this program has held; what began it is not counted, as `getrusage` does."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def build(neurons, in_degree):
    """A network with so many connections, half of them drawn for targets and half for inputs."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from spark.nn.components import synapses as library

    weights = library.Normal(mean=1.0, std=0.1)
    half = in_degree // 2
    blocks = [
        library.Block(rule=library.FixedInDegree(in_degree=half), weights=weights),
        library.Block(rule=library.FixedFanOut(fan_out=half), weights=weights, delays=1.0),
    ]
    connectivity = library.BlockConnectivity(blocks=blocks)
    synapses = library.LinearSynapses(units=neurons, connectivity=connectivity, dtype="float32")
    partition = None
    if jax.device_count() > 1:
        mesh = Mesh(np.array(jax.devices()), ("targets",))
        partition = library.Partition(mesh, targets="targets")
    synapses.build({"spikes": library.InputSpec((neurons,))}, partition=partition)
    jax.block_until_ready(synapses.weights.get_value())
    return synapses


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Peak memory of a process that builds connections: `python remembered.py folder [process port]`.

On one device, or as one of two processes that have one each. Prints how many bytes more than before
the build the process held at its peak, as a part of those of the whole: of blocks that are drawn,
and of lists in files in the folder, which are made if they are missing.
"""

import os
import re
import sys
import threading
import time
from pathlib import Path

NEURONS, IN_DEGREE = 1 << 16, 1 << 8
WHOLE = NEURONS * IN_DEGREE * (4 + 4)  # bytes of targets and weights


def main(folder, process=None, port=None):
    """Build once for what is compiled and imported, and then what is measured."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if process is not None:
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    parts = []
    for connectivity in (blocks, lambda in_degree: lists(Path(folder), in_degree)):
        build(connectivity(2))
        before, peak = held(), Peak()
        synapses = build(connectivity(IN_DEGREE))
        parts.append((peak.end() - before) / WHOLE)
        assert synapses.matrix.rows.weights == NEURONS * IN_DEGREE
    print("{:.3f} {:.3f}".format(*parts))


def held():
    """Bytes that this program holds, without those of files that are mapped."""
    (kilobytes,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


class Peak:
    """The most that this program has held, looked at a thousand times a second."""

    def __init__(self):
        """Begin to look."""
        self.most, self.done = held(), False
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        """Look until the end."""
        while not self.done:
            self.most = max(self.most, held())
            time.sleep(1e-3)

    def end(self):
        """Stop, and say how much it was."""
        self.done = True
        self.thread.join()
        return max(self.most, held())


def blocks(in_degree):
    """Half of the connections drawn for targets and half for inputs."""
    from spark.nn.components import synapses as library

    weights = library.Normal(mean=1.0, std=0.1)
    half = in_degree // 2
    of_targets = library.Block(rule=library.FixedInDegree(in_degree=half), weights=weights)
    of_inputs = library.Block(rule=library.FixedFanOut(fan_out=half), weights=weights, delays=1.0)
    return library.BlockConnectivity(blocks=[of_targets, of_inputs])


def lists(folder, in_degree):
    """Lists in files that are mapped for reading."""
    import numpy as np

    from spark.nn.components import synapses as library

    size, draw = NEURONS * in_degree, np.random.default_rng(0)
    maps = {}
    for name in ("pre", "post", "weights"):
        path = folder / f"{name}{in_degree}.npy"
        if not path.exists():
            drawn = (
                draw.random(size, np.float32)
                if name == "weights"
                else draw.integers(0, NEURONS, size, np.int32)
            )
            partial = path.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, drawn)
            partial.replace(path)
        maps[name] = np.load(path, mmap_mode="r")
    return library.SparseConnectivity(**maps)


def build(connectivity):
    """A network with these connections, on as many devices as there are."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from spark.nn.components import synapses as library

    synapses = library.LinearSynapses(units=NEURONS, connectivity=connectivity, dtype="float32")
    partition = None
    if jax.device_count() > 1:
        mesh = Mesh(np.array(jax.devices()), ("targets",))
        partition = library.Partition(mesh, targets="targets")
    synapses.build({"spikes": library.InputSpec((NEURONS,))}, partition=partition)
    jax.block_until_ready(synapses.weights.get_value())
    return synapses


if __name__ == "__main__":
    main(*sys.argv[1:])

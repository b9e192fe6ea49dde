"""The process of a peer: loads one adapter and carries out orders.

It is run by path with the peer's own Python, and needs nothing but NumPy there.
"""

import importlib.metadata
import importlib.util
import sys
import time
from pathlib import Path

import numpy as np

KINDS = (
    "exponential",
    "saturable",
    "double",
    "plasticity",
    "current",
    "sparse",
    "delayed",
    "plastic",
)


def load(name, path):
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def versions(distributions):
    """Versions of those distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Peer:
    """An adapter with the one piece of work that it has been given."""

    def __init__(self, path):
        self.path = path
        self.program = None

    def describe(self):
        """Load the adapter: its name, versions, convention and kinds of work."""
        self.adapter = load("adapter", self.path)
        return {
            "name": self.adapter.NAME,
            "versions": versions(self.adapter.DISTRIBUTIONS),
            "convention": getattr(self.adapter, "CONVENTION", ""),
            "kinds": [kind for kind in KINDS if hasattr(self.adapter, kind)],
        }

    def prepare(self, kind, inputs, parameters):
        """Set up, and call once: the time of both together, s."""
        with np.load(inputs) as arrays:
            arguments = {name: arrays[name] for name in arrays.files}
        start = time.perf_counter()
        self.program = getattr(self.adapter, kind)(**arguments, **parameters)
        self.program()
        return {"first_call": time.perf_counter() - start}

    def run(self, loops):
        """Time some calls, s; a program that knows its own time better has `seconds`."""
        start = time.perf_counter()
        own = 0.0
        for _ in range(loops):
            self.program()
            own += getattr(self.program, "seconds", 0.0)
        return {"seconds": own or time.perf_counter() - start}

    def output(self, to):
        """Write the values that the program returns."""
        # JAX's half precision is not a NumPy dtype; all of its values are float32 values.
        np.save(to, np.asarray(self.program()).astype(np.float32))
        return {}


if __name__ == "__main__":
    peer = Peer(sys.argv[1])
    pipe = load("pipe", Path(__file__).parents[1] / "pipe.py")
    pipe.serve(
        {each.__name__: each for each in (peer.describe, peer.prepare, peer.run, peer.output)}
    )

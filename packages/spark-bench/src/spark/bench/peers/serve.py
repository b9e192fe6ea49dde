"""The other end of a peer's process: loads one adapter, and does what it is told on stdin.

It is run by path with the peer's own Python, and needs nothing but NumPy there.
"""

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
import traceback

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


def load(path):
    """The adapter in a file, as a module."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    adapter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adapter)
    return adapter


def versions(distributions):
    """Versions of what is installed of some distributions."""
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
        self.adapter = load(path)
        self.program = None

    def hello(self):
        """Who this is, and what it can do."""
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
        """Write what the program returns."""
        # Half precision of JAX is no dtype of NumPy's; every value of it is one of float32.
        np.save(to, np.asarray(self.program()).astype(np.float32))
        return {}


def main(path):
    """Answer every line of stdin with one of stdout, until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    # What libraries print, also from C, must not end up among the answers.
    os.dup2(2, 1)

    def say(answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    try:
        peer = Peer(path)
        say(peer.hello())
    except BaseException as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"})
        return
    for line in sys.stdin:
        order = json.loads(line)
        try:
            say(getattr(peer, order.pop("do"))(**order))
        except Exception as error:
            traceback.print_exc()
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(sys.argv[1])

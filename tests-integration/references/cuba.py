"""What Brian2 makes of `docs/examples/cuba_brian2.py`.

Run by the Python of an environment with Brian2 and spark-bench, `python cuba.py`, it writes two
files beside itself: `cuba.json`, statistics of ten seeds, and `cuba.npz`, the spikes of a network
whose connections and initial potentials are given. Imported, it needs NumPy alone.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parents[2] / "docs" / "examples" / "cuba_brian2.py"
FILE, STATISTICS = (Path(__file__).with_suffix(suffix) for suffix in (".npz", ".json"))
N, EXCITATORY, DT = 4000, 3200, 0.1
STEPS = 15_000
POPULATIONS = {"E": range(EXCITATORY), "I": range(EXCITATORY, N)}
SECONDS = 0.3
"""How long the given network is run."""


def network():
    """Source and target of each connection, and potentials in mV.

    The stream of `RandomState` is the same in every NumPy.
    """
    draw = np.random.RandomState(2007)
    pre, post = np.nonzero(draw.random_sample((N, N)) < 0.02)
    return pre, post, -60 + 10 * draw.random_sample(N)


def spikes_of(changes, **given):
    """Steps and neurons of the spikes of the source, in which some lines are changed."""
    source = SOURCE.read_text()
    for line, other in changes.items():
        assert source.count(line) == 1, line
        source = source.replace(line, other)
    names = dict(given)
    exec(compile(source, str(SOURCE), "exec"), names)
    monitor = names["spikes"]
    step = np.rint(np.asarray(monitor.t / names["ms"]) / DT).astype(int)
    neuron = np.asarray(monitor.i)
    order = np.lexsort((neuron, step))
    return step[order], neuron[order]


def statistics_of(step, neuron):
    """Rate, variation of intervals and synchrony of each population."""
    from spark.bench.networks import Spikes, statistics

    found = statistics(Spikes(step, neuron, STEPS, N, DT), POPULATIONS)
    return {name: dataclasses.asdict(each) for name, each in found.items()}


def record():
    """Write both files."""
    import brian2

    every = [statistics_of(*spikes_of({"seed(1)": f"seed({seed})"})) for seed in range(1, 11)]
    about = {"brian2": brian2.__version__, "seeds": len(every), "steps": STEPS}
    STATISTICS.write_text(json.dumps({"about": about, "statistics": every}, indent=1) + "\n")

    pre, post, v = network()
    changes = {
        '"-60*mV + rand() * 10*mV"': "V * mV",
        '"i < 3200", p=0.02': "i=PRE[PRE < 3200], j=POST[PRE < 3200]",
        '"i >= 3200", p=0.02': "i=PRE[PRE >= 3200], j=POST[PRE >= 3200]",
        "run(1.5 * second)": f"run({SECONDS} * second)",
        "    ms,\n": "    mV, ms,\n",
    }
    step, neuron = spikes_of(changes, PRE=pre, POST=post, V=v)
    np.savez_compressed(FILE, step=step.astype(np.uint16), neuron=neuron.astype(np.uint16))


if __name__ == "__main__":
    record()

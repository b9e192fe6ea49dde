"""Statistics of the microcircuit at a tenth of its size in NEST, for ten seeds.

`python microcircuit.py PYTHON`, with the Python of an environment that has NEST, writes
`microcircuit.json` beside itself.
"""

import dataclasses
import json
import re
import sys
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
SCALE, SECONDS, SEEDS = 0.1, 3.0, 10


def record(python):
    """Run all seeds, and write the statistics of each population."""
    from spark.bench.networks import microcircuit, statistics
    from spark.bench.networks.beside import run_beside

    network = microcircuit(SCALE)
    found = {each.name: {"rate": [], "cv": [], "synchrony": []} for each in network.populations}
    for seed in range(SEEDS):
        run = run_beside("nest", python, network, SECONDS, seed, threads=2)
        for name, of in statistics(run.spikes, network.ranges).items():
            for key, value in dataclasses.asdict(of).items():
                found[name][key].append(float(f"{value:.6g}"))
    about = {
        "simulator": run.version,
        "scale": SCALE,
        "seconds": SECONDS,
        "seeds": SEEDS,
        "connections": run.connections,
    }
    text = json.dumps({**about, "populations": found}, indent=1)
    # The seeds of a statistic on one line.
    text = re.sub(r"\[[^]]*\]", lambda each: " ".join(each[0].split()), text)
    FILE.write_text(text.replace("[ ", "[").replace(" ]", "]") + "\n")


if __name__ == "__main__":
    record(*sys.argv[1:])

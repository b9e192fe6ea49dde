"""Networks in other simulators: each in a process with a Python of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .network import Network
from .spikes import Spikes

LARGE = 10**7
"""Connections from which on a single thread is not tried."""

SIMULATORS = {path.stem: path for path in (Path(__file__).parent / "simulators").glob("[a-z]*.py")}
"""Scripts, by the name of the simulator."""


@dataclasses.dataclass(frozen=True)
class Beside:
    """What another simulator gave, and what it cost.

    Attributes:
        version: Its name and version.
        spikes: Spikes.
        connections: Number of synapses.
        build: Time to build the network, s; with the compiler's, where there is one.
        run: Time to run it, s.
        peak_bytes: Largest resident set of its process; None where unknown.
        threads: Threads that it was given.
    """

    version: str
    spikes: Spikes
    connections: int
    build: float
    run: float
    peak_bytes: int | None
    threads: int

    @property
    def real_time_factor(self) -> float:
        """Time to run over time in the network."""
        return self.run / (self.spikes.steps * self.spikes.dt / 1000)


def run_beside(
    simulator: str, python: str, network: Network, seconds: float, seed: int = 0, threads: int = 1
) -> Beside:
    """Run a network in another simulator.

    Args:
        simulator: Its name, one of `SIMULATORS`.
        python: Python of an environment that has it.
        network: What to run.
        seconds: For how long, in the time of the network.
        seed: Seed of everything that is drawn.
        threads: Threads it may use.

    Raises:
        ValueError: If the simulator fails, with what it said.
    """
    asked = {"network": network.to_dict(), "seconds": seconds, "seed": seed, "threads": threads}
    with tempfile.TemporaryDirectory() as folder:
        description, output = Path(folder, "network.json"), Path(folder, "spikes.npz")
        description.write_text(json.dumps(asked))
        script = str(SIMULATORS[simulator])
        # In a folder of its own: some leave files behind.
        done = subprocess.run(
            [python, script, str(description), str(output)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise ValueError(f"{simulator} cannot run {network.name}: {said}")
        with np.load(output) as file:
            found = dict(file)
    steps = round(1000 * seconds / network.dt)
    spikes = Spikes(found["step"], found["neuron"], steps, network.size, network.dt)
    return Beside(
        str(found["version"]),
        spikes,
        int(found["connections"]),
        float(found["build"]),
        float(found["run"]),
        int(found["peak_bytes"]) or None,
        threads,
    )


def fastest_beside(
    simulator: str, python: str, network: Network, seconds: float, seeds: Sequence[int], cores: int
) -> Iterator[Beside]:
    """Run a network in another simulator, with the faster of one thread and all.

    A large network is run with all threads alone.

    Args:
        simulator: As in `run_beside`; likewise the next three.
        python: See there.
        network: See there.
        seconds: See there.
        seeds: One for each run; the first one is run with one thread and with all.
        cores: Number of cores.

    Yields:
        The run of each seed.

    Raises:
        ValueError: As there.
    """
    threads = [cores] if network.connections > LARGE else sorted({1, cores})
    seed, *others = seeds
    runs = [run_beside(simulator, python, network, seconds, seed, each) for each in threads]
    first = min(runs, key=lambda run: run.run)
    yield first
    for seed in others:
        yield run_beside(simulator, python, network, seconds, seed, first.threads)


def python_of(given: str) -> tuple[str, str]:
    """The name of a simulator, and the Python that has it, of `NAME=PATH`.

    Raises:
        ValueError: If it is not so, or there is no such program.
    """
    simulator, equals, path = given.partition("=")
    if not equals or simulator not in SIMULATORS:
        names = " or ".join(f"{name}=PATH" for name in sorted(SIMULATORS))
        raise ValueError(f"--python must be {names}, got {given!r}.")
    found = shutil.which(path)
    if found is None:
        raise ValueError(f"--python {simulator}={path}: there is no such program.")
    return simulator, str(Path(found).absolute())  # it is run from another folder


def differences(
    network: Network, ours: Mapping[str, float], theirs: Mapping[str, float]
) -> list[str]:
    """Populations whose rates differ by more than one seed of a network does from another.

    That is, by more than 10 % and 0.2 spikes per second; of fewer than 5 000 neurons by more than
    30 %: of CUBA and COBA the standard deviation over seeds is 5 to 7 %, in each simulator.

    Args:
        network: What was run.
        ours: Rate of each population, spikes per second.
        theirs: Those in another simulator.
    """
    part = 0.3 if network.size < 5000 else 0.1
    return [
        name
        for name, rate in ours.items()
        if abs(rate - theirs[name]) > max(0.2, part * theirs[name])
    ]

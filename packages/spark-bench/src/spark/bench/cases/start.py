"""New processes on a CPU, from their start to the first step of synapses."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator

from ..case import Case, Program
from ..environment import python_path
from .engine import no_cpu

_FIRST_CALL = """
import time
import numpy as np
from spark.nn.components.synapses import FixedFanOut, InputSpec, TracedSynapses

synapses = TracedSynapses(units={size}, connectivity={connectivity}, dtype="float32")
synapses.build({{"spikes": InputSpec(({size},))}})
spikes = np.arange({size}) % 50 == 0
start = time.perf_counter()
synapses(spikes).value.block_until_ready()
print(time.perf_counter() - start)
"""


def first_call(connectivity: str, size: int = 1000) -> str:
    """A script that makes synapses, takes a step, and prints how long that took, s.

    Args:
        connectivity: `"dense"` or `"sparse"`.
        size: Inputs, and as many targets.
    """
    made = {"dense": repr("dense"), "sparse": f"FixedFanOut(fan_out={size // 100})"}
    return _FIRST_CALL.format(size=size, connectivity=made[connectivity])


def cases() -> Iterator[Case]:
    """A new process from its start to its end, beside one that imports JAX and Flax alone."""
    scripts = {
        "jax": "import flax.nnx",
        "import": "import spark.nn.components.synapses",
        "first-call-dense": first_call("dense"),
        "first-call-sparse": first_call("sparse"),
    }
    for name, script in scripts.items():
        calls = name.startswith("first-call")
        yield Case(
            f"engine/start/{name}",
            functools.partial(process, script),
            sizes={"steps": 1} if calls else {},
            tags=("synapses", "engine", "compile"),
            group="engine/start",
            reference=name == "jax",
            observe=functools.partial(_first_step, script) if calls else None,
            missing=no_cpu,
        )


def process(script: str) -> Program:
    """A process that runs a script, with kernels that an earlier one has compiled.

    Args:
        script: What it runs.

    Returns:
        What starts the process and waits for its end.
    """
    _process(script)
    return lambda: _process(script)


def _first_step(script: str) -> dict[str, float]:
    """The first step alone, without imports and build."""
    return {"first_step_s": float(_process(script))}


def _process(script: str) -> str:
    command, variables = [sys.executable, "-c", script], os.environ | {"PYTHONPATH": python_path()}
    # Else each process would compile the sources of numba anew.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the process failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout

"""The environment recorded beside every number: machine, device, versions, revision, date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import jax

from .__about__ import __version__

Environment: TypeAlias = dict[str, str | int | float]
"""Names and values, as pyperf takes them for metadata."""

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "spark-core-tracers", "spark-nn-synapses")
"""Distributions whose versions are recorded, if installed."""

# They change the programs that XLA makes, or the threads that run them.
_VARIABLES = ("XLA_FLAGS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "OMP_NUM_THREADS")


def environment() -> Environment:
    """The environment of this process; it starts JAX's backend."""
    device = jax.devices()[0]
    found: Environment = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "cpu_model_name": _cpu() or platform.processor() or platform.machine(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "device": device.device_kind,
        "device_platform": device.platform,
        "device_count": jax.device_count(),
        "python_version": platform.python_version(),
        "python_implementation": platform.python_implementation().lower(),
        "spark-bench_version": __version__,
    }
    found["cpu_count"] = found["cpu_count"] or os.cpu_count() or 1
    if hasattr(os, "getloadavg"):
        found["load_avg_1min"] = os.getloadavg()[0]
    for name in PACKAGES:
        try:
            found[f"{name}_version"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for name in _VARIABLES:
        if os.environ.get(name):
            found[f"env_{name}"] = os.environ[name]
    revision = git_revision(Path(__file__).parent)
    if revision:
        found["git_revision"] = revision
    return found


def git_revision(folder: Path) -> str | None:
    """Commit of a folder, with `-dirty` where files differ; None outside of git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def python_path() -> str:
    """The import path of this process, for one that it starts.

    Namespace packages may be on this process's path alone.
    """
    return os.pathsep.join(path for path in sys.path if path)


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None

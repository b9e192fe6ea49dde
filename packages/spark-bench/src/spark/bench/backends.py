"""The backend of JAX: of this process, and of those that it starts."""

from __future__ import annotations

import os

import jax

from .environment import python_path

BACKENDS = {"cpu": "cpu", "gpu": "cuda"}
"""Values of `--backend`, and JAX's names for them."""


def use(backend: str | None, devices: int = 1) -> None:
    """Make this process use a backend; to be called before JAX has started one.

    Args:
        backend: Which of `BACKENDS`, or None for JAX's default.
        devices: Number of virtual CPU devices.
    """
    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)
    if backend is not None:
        jax.config.update("jax_platforms", BACKENDS[backend])


def variables(backend: str | None, devices: int = 1) -> dict[str, str]:
    """Environment variables of a process that uses a backend and imports from this one's path.

    Args:
        backend: Which of `BACKENDS`, or None for JAX's default.
        devices: Number of virtual CPU devices.
    """
    found = dict(os.environ) | {"PYTHONPATH": python_path()}
    if backend is not None:
        found["JAX_PLATFORMS"] = BACKENDS[backend]
    if devices > 1:
        # Before JAX starts; heeded by CPUs alone.
        count = f"--xla_force_host_platform_device_count={devices}"
        found["XLA_FLAGS"] = f"{found.get('XLA_FLAGS', '')} {count}".strip()
    return found

"""How to compile a loop over the steps of a network."""

from __future__ import annotations

import jax


def loop_options(platform: str | None = None) -> dict[str, str]:
    """Compiler options for a loop of small steps, as that over the steps of a network.

    On a CPU, XLA shares an elementwise operation among threads: from some 1500 numbers on, if it
    has more arithmetic operations than bytes to move. In a loop, each handing over takes longer
    than a step of thousands of neurons. With these options every operation runs on one thread, but
    for the kernels of synapses, which share large steps as before.

    They also keep `jax.lax.optimization_barrier`, which XLA drops on a CPU. Values that several
    outputs depend on are computed once if they pass a barrier, and otherwise once for each.

    Give them to the outermost `jax.jit`: JAX refuses options of an inner one, and `nnx.jit` takes
    none. They do not suit programs whose single operations are large, as products of matrices or
    parallel scans are.

    Args:
        platform: Where the loop runs: `"cpu"`, `"gpu"` or `"tpu"`; by default
            `jax.default_backend()`.

    Returns:
        Options for `jax.jit(..., compiler_options=...)`; empty unless on a CPU.

    Raises:
        ValueError: If the platform is none of these.

    Example:
        ```python
        >>> import jax.numpy as jnp
        >>> def membrane(v, current):
        ...     v = 0.99 * v + current
        ...     return v, v > 1.0
        >>> def run(v, currents):
        ...     return jax.lax.scan(membrane, v, currents)
        >>> run = jax.jit(run, compiler_options=loop_options())
        >>> v, spikes = run(jnp.zeros(3), 0.1 * jnp.ones((20, 3)))
        >>> int(spikes.sum())
        30

        ```
    """
    if platform is None:
        platform = jax.default_backend()
    elif platform not in ("cpu", "gpu", "tpu"):
        raise ValueError(f"platform must be 'cpu', 'gpu' or 'tpu', got {platform!r}.")
    if platform != "cpu":
        return {}
    # Passes of XLA: the one that shares operations among threads, and the one that drops barriers.
    return {"xla_disable_hlo_passes": "cpu-parallel-task-assigner,cse_barrier_expander"}

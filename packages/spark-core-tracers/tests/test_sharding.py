"""The same numbers, noise included, when a state is cut over several devices."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.versions

CODE = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from spark.core.tracers import DoubleTracer, RUTracer, Tracer

assert jax.device_count() == 4
mesh = Mesh(np.array(jax.devices()), ("neurons",))
cut = NamedSharding(mesh, P("neurons"))
xs = np.random.default_rng(0).random((30, 64)) < 0.2

for cls, *arguments in (Tracer, 50.0), (DoubleTracer, 5.0, 20.0), (RUTracer, 100.0, 20.0, 0.3):
    tracer = cls(64, *arguments, dtype="float16")
    recurrence, parameters, state = tracer.recurrence, tracer.parameters, tracer.state
    expected = np.asarray(tracer.scan(xs, "sequential"))

    # By shard_map, each part told which elements it holds.
    whole = state._replace(noise=state.noise._replace(element=jnp.arange(64, dtype=jnp.uint32)))
    specs = jax.tree.map(lambda a: P("neurons") if a.ndim else P(), whole)
    run = jax.shard_map(
        lambda state, xs: recurrence.scan(parameters, state, xs, "sequential"),
        mesh=mesh, in_specs=(specs, P(None, "neurons")), out_specs=(specs, P(None, "neurons")),
        check_vma=False,
    )
    final, ys = jax.jit(run)(whole, jnp.asarray(xs))
    np.testing.assert_array_equal(np.asarray(ys), expected)

    # By jit on sharded arrays, where the partitioner does the cutting.
    sharded = state._replace(traces=tuple(jax.device_put(t, cut) for t in state.traces))
    scan = jax.jit(partial(recurrence.scan, method="sequential"))
    inputs = jax.device_put(xs, NamedSharding(mesh, P(None, "neurons")))
    final, ys = scan(parameters, sharded, inputs)
    np.testing.assert_array_equal(np.asarray(ys), expected)
    assert "all-gather" not in scan.lower(parameters, sharded, inputs).compile().as_text()
"""


def test_sharded_runs_equal_the_whole():
    # Several devices have to be there before JAX starts: a process of its own.
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        env={
            **os.environ,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
            "JAX_PLATFORMS": "cpu",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]

"""spark_snn, the older package that owns `spark`: its tracers and traced synapses."""

import jax
import jax.numpy as jnp
from flax import nnx

from spark.core.payloads import SpikeArray
from spark.core.tracers import SaturableTracer, Tracer
from spark.nn.components.synapses.traced import TracedSynapses

NAME = "spark_snn"
DISTRIBUTIONS = ("spark_snn", "jax", "flax")
CONVENTION = "saturable: the range is [-1, 1]"


def exponential(xs, *, tau, dt, dtype, keep):
    """`Tracer`."""
    return _looped(Tracer(xs.shape[1:], tau, dtype=jnp.dtype(dtype), dt=dt), xs, keep)


def saturable(xs, *, tau, dt, dtype, keep):
    """`SaturableTracer`."""
    return _looped(SaturableTracer(xs.shape[1:], tau, dtype=jnp.dtype(dtype), dt=dt), xs, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """`TracedSynapses`."""
    if spikes.ndim > 2:
        raise NotImplementedError("no batch axis")
    synapses = TracedSynapses(
        units=(kernel.shape[0],),
        kernel=jnp.asarray(kernel, dtype),
        tau=tau,
        dt=dt,
        dtype=jnp.dtype(dtype),
    )
    synapses(spikes=SpikeArray(jnp.zeros(kernel.shape[1], bool)))
    synapses.reset()
    return _looped(synapses, spikes, keep, lambda s, x: s(spikes=SpikeArray(x))["currents"].value)


def _looped(module, xs, keep, step=lambda module, x: module(x)):
    """One `lax.scan` over the split module."""
    inputs = jnp.asarray(xs)
    definition, state = nnx.split(module)

    @jax.jit
    def run(state, inputs):
        def body(state, x):
            module = nnx.merge(definition, state)
            y = step(module, x)
            return nnx.split(module)[1], y if keep == "every" else None

        last, every = jax.lax.scan(body, state, inputs[:-1])
        y = step(nnx.merge(definition, last), inputs[-1])
        return jnp.concatenate([every, y[None]]) if keep == "every" else y

    return lambda: jax.block_until_ready(run(state, inputs))

"""Spark: this project's tracers and synapses, whole sequences through `scan`."""

import jax
import jax.numpy as jnp
from flax import nnx

from spark.core.tracers import DoubleTracer, RUTracer, SaturableTracer, Tracer, TraceState
from spark.nn.components.synapses import InputSpec, TracedSynapses

NAME = "spark"
DISTRIBUTIONS = ("spark-core-tracers", "spark-nn-synapses", "jax", "flax")


def exponential(xs, *, tau, dt, dtype, keep):
    """`Tracer`."""
    return _scanned(Tracer(xs.shape[1:], tau, dtype=dtype, dt=dt), xs, keep)


def saturable(xs, *, tau, dt, dtype, keep):
    """`SaturableTracer`."""
    return _scanned(SaturableTracer(xs.shape[1:], tau, dtype=dtype, dt=dt), xs, keep)


def double(xs, *, tau_1, tau_2, dt, dtype, keep):
    """`DoubleTracer`."""
    return _scanned(DoubleTracer(xs.shape[1:], tau_1, tau_2, dtype=dtype, dt=dt), xs, keep)


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    """`RUTracer`; what an input releases is the efficacy times the input."""
    tracer = RUTracer(xs.shape[1:], R_tau, U_tau, scale_U, dtype=dtype, dt=dt)
    if keep == "every":
        inputs = jnp.asarray(xs, dtype)
        scan = _scanned(tracer, xs, keep)
        return lambda: scan() * inputs
    last = _last(tracer, xs)
    return lambda: jax.block_until_ready(last() * jnp.asarray(xs[-1], dtype))


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """`TracedSynapses`, one call a step, as in a network with feedback."""
    synapses = TracedSynapses(
        units=kernel.shape[:1], tau=tau, dtype=dtype, dt=dt, kernel_initializer=kernel
    )
    synapses.build({"spikes": InputSpec(kernel.shape[1:], batch=spikes.shape[1:-1])})
    inputs = jnp.asarray(spikes)
    # A kernel that is carried would be copied where it cannot be shared.
    moves = (TraceState, nnx.RngCount)
    definition, moving, fixed = nnx.split(synapses, moves, ...)

    @jax.jit
    def run(moving, fixed, inputs):
        def step(moving, s):
            synapses = nnx.merge(definition, moving, fixed)
            y = synapses(s).value
            return nnx.state(synapses, moves), y if keep == "every" else None

        last, every = jax.lax.scan(step, moving, inputs[:-1])
        y = nnx.merge(definition, last, fixed)(inputs[-1]).value
        return jnp.concatenate([every, y[None]]) if keep == "every" else y

    return lambda: jax.block_until_ready(run(moving, fixed, inputs))


def _scanned(tracer, xs, keep):
    if keep == "last":
        return _last(tracer, xs)
    inputs = jnp.asarray(xs)

    def program():
        tracer.reset()
        return jax.block_until_ready(tracer.scan(inputs))

    return program


def _last(tracer, xs):
    """The last value alone: a `lax.scan` of the pure step keeps no series."""
    inputs = jnp.asarray(xs)
    recurrence, parameters, state = tracer.recurrence, tracer.parameters, tracer.state

    @jax.jit
    def run(state, inputs):
        def step(state, x):
            return recurrence.step(parameters, state, x)[0], None

        before, _ = jax.lax.scan(step, state, inputs[:-1])
        return recurrence.step(parameters, before, inputs[-1])[1]

    return lambda: jax.block_until_ready(run(state, inputs))

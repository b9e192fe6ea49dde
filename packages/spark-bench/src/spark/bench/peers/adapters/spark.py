"""Spark: this project's tracers and synapses, whole sequences through `scan`."""

import jax
import jax.numpy as jnp
from flax import nnx

from spark.core.tracers import DoubleTracer, RUTracer, SaturableTracer, Tracer, TraceState
from spark.nn.components.synapses import (
    DelayState,
    InputSpec,
    RUTracedSynapses,
    SparseConnectivity,
    TracedSynapses,
)

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
    """`RUTracer`; the release is the efficacy times the input."""
    tracer = RUTracer(xs.shape[1:], R_tau, U_tau, scale_U, dtype=dtype, dt=dt)
    if keep == "every":
        inputs = jnp.asarray(xs, dtype)
        scan = _scanned(tracer, xs, keep)
        return lambda: scan() * inputs
    return _last(tracer, xs, lambda efficacy, x: jnp.where(x, efficacy, 0))


def current(spikes, kernel, *, keep, **parameters):
    """`TracedSynapses`, one call a step, as in a network with feedback."""
    synapses = TracedSynapses(units=kernel.shape[:1], kernel_initializer=kernel, **parameters)
    return _stepped(synapses, spikes, keep)


def sparse(spikes, pre, post, weights, *, targets, keep, **parameters):
    """The same with `SparseConnectivity`."""
    connectivity = SparseConnectivity(pre=pre, post=post, weights=weights)
    return _stepped(
        TracedSynapses(units=targets, connectivity=connectivity, **parameters), spikes, keep
    )


def delayed(spikes, kernel, delays, *, keep, **parameters):
    """The same with a delay of each connection."""
    synapses = TracedSynapses(
        units=kernel.shape[:1], kernel_initializer=kernel, delays=delays, **parameters
    )
    return _stepped(synapses, spikes, keep)


def plastic(spikes, kernel, *, keep, **parameters):
    """`RUTracedSynapses`."""
    synapses = RUTracedSynapses(units=kernel.shape[:1], kernel_initializer=kernel, **parameters)
    return _stepped(synapses, spikes, keep)


def _stepped(synapses, spikes, keep):
    synapses.build({"spikes": InputSpec(spikes.shape[-1:], batch=spikes.shape[1:-1])})
    before, last = _apart(spikes, keep)
    # A kernel that is carried would be copied where it cannot be shared.
    moves = (TraceState, DelayState, nnx.RngCount)
    definition, moving, fixed = nnx.split(synapses, moves, ...)

    @jax.jit
    def run(moving, fixed, before, last):
        def step(moving, s):
            synapses = nnx.merge(definition, moving, fixed)
            y = synapses(s).value
            return nnx.state(synapses, moves), y if keep == "every" else None

        moved, every = jax.lax.scan(step, moving, before)
        if keep == "every":
            return every
        return nnx.merge(definition, moved, fixed)(last).value

    return lambda: jax.block_until_ready(run(moving, fixed, before, last))


def _scanned(tracer, xs, keep):
    if keep == "last":
        return _last(tracer, xs)
    inputs = jnp.asarray(xs)

    def program():
        tracer.reset()
        return jax.block_until_ready(tracer.scan(inputs))

    return program


def _last(tracer, xs, output=lambda y, x: y):
    """The last value alone: XLA leaves out a series that nobody reads."""
    before, last = _apart(xs, "last")
    recurrence, parameters, state = tracer.recurrence, tracer.parameters, tracer.state

    @jax.jit
    def run(state, before, last):
        moved, _ = recurrence.scan(parameters, state, before)
        return output(recurrence.step(parameters, moved, last)[1], last)

    return lambda: jax.block_until_ready(run(state, before, last))


def _apart(xs, keep):
    """Inputs of the loop, and the last one: a slice within the program would copy them all."""
    return jnp.asarray(xs if keep == "every" else xs[:-1]), jnp.asarray(xs[-1])

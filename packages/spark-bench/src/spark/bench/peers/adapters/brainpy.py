"""BrainPy with BrainEvent: event-driven products, and BrainPy's synapses, in `brainstate` loops."""

import brainevent
import brainpy
import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

NAME = "brainpy + brainevent"
DISTRIBUTIONS = ("brainpy", "brainpy-state", "brainevent", "brainstate", "jax", "numba")
CONVENTION = (
    "plasticity: usage starts at U and decays to 0; facilitation and depletion use the state "
    "before the step's decay"
)


def exponential(xs, *, tau, dt, dtype, keep):
    """`brainpy.state.Expon`."""
    return _looped(_expon(xs.shape[1:], tau, dtype), xs, dt, dtype, keep)


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    """`brainpy.state.STP`."""
    _require_single(dtype)
    synapse = brainpy.state.STP(xs.shape[1:], U=scale_U, tau_f=U_tau * u.ms, tau_d=R_tau * u.ms)
    return _looped(synapse, xs, dt, dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """Spikes as a `BinaryArray` times the kernel, then `Expon`."""
    weights = jnp.asarray(kernel.T.copy(), dtype)
    synapse = _expon((*spikes.shape[1:-1], kernel.shape[0]), tau, dtype)

    def step(s):
        return synapse.update(brainevent.BinaryArray(s) @ weights)

    return _looped(synapse, spikes, dt, dtype, keep, step)


def sparse(spikes, pre, post, weights, *, targets, tau, dt, dtype, keep):
    """The same with rows of connections: of one length where all are, else compressed."""
    shape, sizes = (spikes.shape[1], targets), np.bincount(pre, minlength=spikes.shape[1])
    values = jnp.asarray(weights, dtype)
    if (sizes == sizes[0]).all():
        rows = values.reshape(shape[0], -1), jnp.asarray(post.reshape(shape[0], -1))
        connections = brainevent.FixedNumPerPre(*rows, shape=shape)
    else:
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        rows = values, jnp.asarray(post), jnp.asarray(starts)
        connections = brainevent.CSR(rows, shape=shape)
        # Its first product caches values, which must not be those of a traced loop.
        brainevent.BinaryArray(jnp.zeros(shape[0], bool)) @ connections
    synapse = _expon((targets,), tau, dtype)

    def step(s):
        return synapse.update(brainevent.BinaryArray(s) @ connections)

    return _looped(synapse, spikes, dt, dtype, keep, step)


def _expon(shape, tau, dtype):
    _require_single(dtype)
    return brainpy.state.Expon(
        shape, tau=tau * u.ms, g_initializer=lambda shape, *_: jnp.zeros(shape, dtype)
    )


def _require_single(dtype):
    if dtype != "float32":
        raise NotImplementedError("brainstate takes its precision from a global setting")


def _looped(synapse, xs, dt, dtype, keep, step=None):
    """All steps in one compiled `for_loop`; the state starts from rest each time."""
    # A slice within the program would copy all inputs.
    before, last = jnp.asarray(xs if keep == "every" else xs[:-1]), jnp.asarray(xs[-1])
    step = step or (lambda x: synapse.update(x.astype(dtype)))
    with brainstate.environ.context(dt=dt * u.ms):
        synapse.init_state()

    @brainstate.transform.jit
    def run(before, last):
        synapse.reset_state()
        if keep == "every":
            return brainstate.transform.for_loop(step, before)
        brainstate.transform.for_loop(lambda x: (step(x), None)[1], before)
        return step(last)

    def program():
        with brainstate.environ.context(dt=dt * u.ms):
            return jax.block_until_ready(run(before, last))

    return program

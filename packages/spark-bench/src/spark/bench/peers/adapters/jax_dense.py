"""Hand-written JAX: a dense product and a trace per target, in one `lax.scan`."""

import jax
import jax.numpy as jnp

NAME = "hand-written JAX, dense"
DISTRIBUTIONS = ("jax",)


def exponential(xs, *, tau, dt, dtype, keep):
    """A multiplication and an addition a step."""
    decay = jnp.exp(-dt / tau).astype(dtype)
    return _scanned(lambda y, x: decay * y + x.astype(dtype), xs, xs.shape[1:], dtype, keep)


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """A matrix product and a trace a step."""
    weights = jnp.asarray(kernel, dtype)
    decay = jnp.exp(-dt / tau).astype(dtype)
    shape = (*spikes.shape[1:-1], kernel.shape[0])
    # For one vector, XLA's CPU product is fastest along the rows of a matrix.
    product = (lambda W, s: W @ s) if spikes.ndim == 2 else (lambda W, s: s @ W.T)
    return _scanned(
        lambda y, s: decay * y + product(weights, s.astype(dtype)), spikes, shape, dtype, keep
    )


def plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep):
    """Two decays and two jumps a step."""
    decay_R, decay_U = (jnp.exp(-dt / tau).astype(dtype) for tau in (R_tau, U_tau))
    inputs = jnp.asarray(xs)

    @jax.jit
    def run(inputs):
        def step(carry, x):
            U, R, _ = carry
            U, R = decay_U * U, 1 - decay_R * (1 - R)
            U = jnp.where(x, U + scale_U * (1 - U), U)
            released = jnp.where(x, U * R, 0)
            return (U, R - released, released), released if keep == "every" else None

        rest = jnp.zeros(xs.shape[1:], dtype)
        (_, _, last), every = jax.lax.scan(step, (rest, rest + 1, rest), inputs)
        return every if keep == "every" else last

    return lambda: jax.block_until_ready(run(inputs))


def _scanned(update, xs, shape, dtype, keep):
    inputs = jnp.asarray(xs)

    @jax.jit
    def run(inputs):
        def step(y, x):
            y = update(y, x)
            return y, y if keep == "every" else None

        last, every = jax.lax.scan(step, jnp.zeros(shape, dtype), inputs)
        return every if keep == "every" else last

    return lambda: jax.block_until_ready(run(inputs))

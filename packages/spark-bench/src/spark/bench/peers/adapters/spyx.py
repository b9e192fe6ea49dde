"""spyx: its leaky integrator, driven by a dense layer, through `spyx.nn.run`."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from spyx.nn import LI, run

NAME = "spyx"
DISTRIBUTIONS = ("spyx", "jax", "flax")


def exponential(xs, *, tau, dt, dtype, keep):
    """`LI`, whose membrane is the trace."""
    # Time, batch, features; elements of any shape are features here.
    inputs = jnp.asarray(xs.reshape(len(xs), 1, -1))
    program = _run(lambda x: x, inputs, inputs.shape[-1], tau, dt, dtype, keep)
    return lambda: program().reshape(*((len(xs),) if keep == "every" else ()), *xs.shape[1:])


def current(spikes, kernel, *, tau, dt, dtype, keep):
    """`nnx.Linear` without bias, and `LI`."""
    layer = nnx.Linear(*kernel.T.shape, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel.set_value(jnp.asarray(kernel.T.copy(), dtype))
    inputs = jnp.asarray(spikes if spikes.ndim == 3 else spikes[:, None])
    program = _run(layer, inputs, kernel.shape[0], tau, dt, dtype, keep)
    drop = (lambda y: y) if spikes.ndim == 3 else (lambda y: y.squeeze(-2))
    return lambda: drop(program())


class _Driven(nnx.Module):
    """A layer and the integrator that it drives, one step at a time."""

    def __init__(self, layer, integrator, dtype):
        self.layer, self.integrator, self.dtype = layer, integrator, dtype

    def __call__(self, x, state):
        return self.integrator(self.layer(x.astype(self.dtype)), state)

    def initial_state(self, batch_size):
        return self.integrator.initial_state(batch_size).astype(self.dtype)


def _run(layer, inputs, size, tau, dt, dtype, keep):
    integrator = LI((size,), beta=float(np.exp(-dt / tau)), rngs=nnx.Rngs(0))
    integrator.beta.set_value(integrator.beta.get_value().astype(dtype))
    model = _Driven(layer, integrator, dtype)

    @nnx.jit
    def whole(model, inputs):
        every, last = run(model, inputs, model.initial_state(inputs.shape[1]))
        return every if keep == "every" else last

    return lambda: jax.block_until_ready(whole(model, inputs))

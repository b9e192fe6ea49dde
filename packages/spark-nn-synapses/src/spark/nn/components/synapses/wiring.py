"""Who reaches whom, and how late: what synapses keep of `connectivity` and `delays`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.internal import compute_dtype as arithmetic_dtype
from spark.nn.initializers import KernelInitializerConfig

from .connectivity import Connections, stored_rows
from .delays import as_steps
from .kernel import as_kernel, as_weights, stored
from .rows import Rows, StoredRows, Wires

_OF_A_MATRIX = ("sparse_normalized", "orthogonal")
"""Initializers whose entries are not independent."""


class Wiring(NamedTuple):
    """How a population reaches another.

    Attributes:
        rows: Who reaches whom; None if every input reaches every target, at once.
        wires: What rows are read from.
        weights: Initial weights that came with the connections, if any.
        delays: Delays of the inputs in steps, a scalar or of shape `(inputs,)`; None without.
    """

    rows: Rows | None = None
    wires: Wires | None = None
    weights: np.ndarray[Any, Any] | None = None
    delays: np.ndarray[Any, Any] | None = None

    @property
    def steps(self) -> int:
        """Longest delay of an input."""
        return 0 if self.delays is None else int(self.delays.max(initial=0))

    def connections(self, targets: int) -> tuple[Array, Array]:
        """Input and target of each connection along rows."""
        assert self.rows is not None
        assert self.wires is not None
        inputs, places = self.rows.all(self.wires)
        return inputs, places % targets


def wire(config: Any, inputs: tuple[int, ...], key: Array) -> Wiring:
    """Lay out what a configuration says.

    Args:
        config: Configuration of synapses.
        inputs: Shape of the inputs.
        key: JAX PRNG key of random connectivity.

    Raises:
        ValueError: If connections or delays do not fit the shapes.
    """
    # Connections are laid out once, also where the build is part of a compiled program.
    with jax.ensure_compile_time_eval():
        return _wire(config, inputs, key)


def _wire(config: Any, inputs: tuple[int, ...], key: Array) -> Wiring:
    count, targets = math.prod(inputs), math.prod(config.units)
    delays, spread = _delays(config, inputs)
    if config.connectivity == "dense":
        if spread is None or not spread.any():
            return Wiring(delays=delays)
        pre, post = np.divmod(np.arange(count * targets), targets)
        found = Connections(*stored_rows(pre, post, count, targets))
        late = spread
    else:
        found = config.connectivity.connect(count, targets, key)
        late = None
        if found.delays is not None:
            if config.delays is not None:
                raise ValueError("delays are given twice: by the connectivity, and by delays.")
            late = as_steps("delays of the connectivity", found.delays, config.dt)
    if spread is not None and not isinstance(found.rows, StoredRows):
        raise ValueError(
            "delays of connections need these to be stored: ProceduralConnectivity takes a delay "
            f"for all, or of shape {inputs}, one for each input."
        )
    if spread is not None and late is None:
        pre, post = (np.asarray(each) for each in found.rows.all(found.wires))
        late = spread.reshape(count, targets)[pre, post]
    rows, wires = found.rows, found.wires
    if late is not None:
        pre, post = (np.asarray(each) for each in rows.all(wires))
        rows, wires = stored_rows(pre, post, count, targets, late.reshape(-1))
    return Wiring(rows, wires, found.weights, delays)


def _delays(
    config: Any, inputs: tuple[int, ...]
) -> tuple[np.ndarray[Any, Any] | None, np.ndarray[Any, Any] | None]:
    """Delays in steps: of the inputs, or of each input and target."""
    if config.delays is None:
        return None, None
    steps, kernel = as_steps("delays", config.delays, config.dt), config.units + inputs
    if steps.ndim == 0:
        return steps, None
    if steps.shape == inputs:
        return steps.reshape(-1), None
    if steps.ndim != len(kernel) or any(
        size not in (1, whole) for size, whole in zip(steps.shape, kernel, strict=True)
    ):
        raise ValueError(
            f"delays must be a scalar or of shape {inputs}, one for each input, or of "
            f"{len(kernel)} axes and broadcastable to {kernel}, one for each connection; "
            f"got shape {steps.shape}."
        )
    full = np.broadcast_to(steps, kernel).reshape(math.prod(config.units), -1)
    return None, full.T.reshape(-1)


def stored_weights(
    config: Any, wiring: Wiring, key: Array, dtype: jnp.dtype, default: Any
) -> Array | np.ndarray[Any, Any]:
    """Initial weights along rows, of shape `(connections,)`; or parameters of those drawn.

    An initializer is asked for a matrix of all targets and as many inputs as a target has in the
    mean, so that one that goes by the number of inputs finds it.

    Args:
        config: Configuration of synapses.
        wiring: The connections.
        key: JAX PRNG key of the initializer.
        dtype: Dtype of the kernel.
        default: The initializer that nobody chose, which leaves no stored connection at 0.

    Raises:
        TypeError: If the initializer gives no numbers.
        ValueError: If it gives another shape or a value that is not finite, or makes what holds of
            a whole matrix; or there are weights of the connectivity too.
    """
    rows, given = wiring.rows, config.kernel_initializer
    assert rows is not None
    name, shape = "kernel_initializer", (rows.weights,)
    if isinstance(given, np.ndarray):
        return as_kernel(name, given, shape, dtype, "the connections")
    chosen = given is not default and given != default
    if wiring.weights is not None:
        if chosen:
            raise ValueError(
                "kernel_initializer must be an array of shape "
                f"{shape} where the connectivity has weights of its own, got {given!r}."
            )
        return as_kernel("weights of the connectivity", wiring.weights, shape, dtype)
    targets = math.prod(config.units)
    matrix = (targets, -(-rows.weights // targets))
    initializer: Callable[..., Array] = given
    if not chosen:
        given = KernelInitializerConfig(name="sparse_uniform", density=1.0)
    if isinstance(given, KernelInitializerConfig):
        if given.name in _OF_A_MATRIX:
            raise ValueError(
                f"kernel_initializer {given.name!r} is about the rows of a whole matrix, which "
                "weights along connections would not keep: take one of independent entries, or "
                f"give an array of shape {shape}, in the order of `connections`."
            )
        initializer = given.make()
    draws = initializer(key, matrix, arithmetic_dtype(dtype))
    flat = jnp.reshape(as_weights(name, draws, matrix, "targets x inputs"), -1)[: rows.weights]
    return stored(name, flat, dtype, drawn=True)


def along_rows(wiring: Wiring, name: str, gain: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A matrix (inputs, targets) as it multiplies weights along rows.

    Args:
        wiring: The connections.
        name: What an error calls it.
        gain: Either axis whole or of size 1.

    Returns:
        The same if it is of shape (inputs, 1); otherwise an entry per connection.

    Raises:
        ValueError: If connections are not stored.
    """
    rows = wiring.rows
    assert rows is not None
    if gain.shape[1] == 1:
        return gain
    if not isinstance(rows, StoredRows):
        raise ValueError(
            f"{name} of ProceduralConnectivity must not differ between connections: give it per "
            "input or per target."
        )
    # As they were laid out: also where the build is part of a compiled program.
    with jax.ensure_compile_time_eval():
        inputs, targets = (np.asarray(each) for each in wiring.connections(gain.shape[1]))
    return np.broadcast_to(gain, (rows.inputs, gain.shape[1]))[inputs, targets]

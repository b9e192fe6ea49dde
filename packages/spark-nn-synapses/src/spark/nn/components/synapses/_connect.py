"""Connections and delays that a configuration asks for, laid out for the stages of a chain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._drawing import engine_for
from ._projections.rows import Adjacency, Rows, StoredRows
from .delays import as_steps

if TYPE_CHECKING:
    from ._by_device import ByDevice
    from .partition import Partition

NumPyArray = np.ndarray[Any, Any]


class Connections(NamedTuple):
    """Which inputs reach which targets.

    Attributes:
        rows: How the connections of each input are read.
        adjacency: What they are read from.
        weights: Initial weights, as the rows have them; None leaves them to the initializer.
        delays: Delay of each connection, in the unit of the time step; None without, or if they
            are in the rows.
        drawn: Whether the weights are random.
        by_device: How they are laid out if each device has its own; None if arrays are those of a
            whole.
    """

    rows: Rows
    adjacency: Adjacency
    weights: np.ndarray[Any, Any] | None = None
    delays: np.ndarray[Any, Any] | None = None
    drawn: bool = False
    by_device: ByDevice | None = None


def stored_rows(
    pre: np.ndarray[Any, Any],
    post: np.ndarray[Any, Any],
    inputs: int,
    targets: int,
    delays: np.ndarray[Any, Any] | None = None,
) -> tuple[StoredRows, Adjacency]:
    """Rows of stored connections, in as few bytes as their numbers allow.

    Args:
        pre: Input of each connection, ascending.
        post: Target of each connection.
        inputs: Number of inputs.
        targets: Number of targets.
        delays: Of each connection, in steps; None if all arrive at once.

    Returns:
        The rows, and what they are read from; weights are in the order of the connections.

    Raises:
        ValueError: If there are more than an index of 32 bits can count.
    """
    places = _places(post, delays, targets)
    starts = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=inputs))])
    return rows_of(starts, places, targets)


def rows_of(starts: NumPyArray, places: NumPyArray, targets: int) -> tuple[StoredRows, Adjacency]:
    """Rows from where they begin, and the last one ends; places are their own from here on."""
    count, inputs = len(places), len(starts) - 1
    steps = int(places.max(initial=0)) // max(targets, 1) + 1
    require_countable(count, steps * targets)
    lengths = np.diff(starts)
    if count and (lengths == lengths[0]).all():
        starts = starts[:1]
    if steps * targets <= 1 << 16:
        places = places.astype(np.uint16)
    elif places.dtype == np.uint32:
        places = places.view(np.int32)
    else:
        places = places.astype(np.int32)
    adjacency = jnp.asarray(starts.astype(np.int32)), jnp.asarray(places)
    return StoredRows(inputs, targets, count, steps=steps), adjacency


def require_countable(connections: int, places: int) -> None:
    """Raise an error for more connections, or places, than 32 bits can count."""
    if connections >= 2**31:
        raise ValueError(
            f"stored connections are counted in 32 bits, got {connections}; "
            "ProceduralConnectivity stores none."
        )
    if places >= 2**31:
        raise ValueError(
            "targets times the steps up to the longest delay must be below 2^31, got "
            f"{places}: shorten the delays, as by `high` of their distribution."
        )


def _places(post: NumPyArray, steps: NumPyArray | None, targets: int) -> NumPyArray:
    if steps is None or not steps.any():
        return post
    require_countable(len(post), (int(steps.max()) + 1) * targets)
    return steps.astype(np.int64) * targets + post


class Laid(NamedTuple):
    """Connections in the order of inputs, then of places; of equal ones, as they came.

    Attributes:
        starts: Where the row of each input begins, and where the last one ends.
        places: Step times number of targets plus target, of each connection.
        weights: Their weights; None without.
    """

    starts: NumPyArray
    places: NumPyArray
    weights: NumPyArray | None

    def connections(self, targets: int, drawn: bool = False) -> Connections:
        """Rows of these; the arrays are their own from here on."""
        rows, adjacency = rows_of(self.starts, self.places, targets)
        return Connections(rows, adjacency, self.weights, drawn=drawn)


def laid_out(
    pre: NumPyArray,
    post: NumPyArray,
    inputs: int,
    targets: int,
    steps: NumPyArray | None,
    weights: NumPyArray | None,
) -> Laid:
    """Connections that come in any order.

    Args:
        pre: Input of each connection.
        post: Target of each connection.
        inputs: Number of inputs.
        targets: Number of targets.
        steps: Delay of each connection in steps; None if all arrive at once.
        weights: Weight of each connection; None without.
    """
    require_countable(len(pre), targets * (1 if steps is None else int(steps.max(initial=0)) + 1))
    engine = engine_for(len(pre))
    if engine is not None:
        found: Laid = engine.sort_rows(pre, post, inputs, targets, steps, weights)
        return found
    places = _places(post, steps, targets)
    order = np.lexsort((places, pre))
    starts = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=inputs))])
    return Laid(starts, places[order], None if weights is None else weights[order])


def connect(
    config: Any, inputs: tuple[int, ...], key: Array, partition: Partition | None = None
) -> tuple[Connections | None, NumPyArray | None]:
    """Lay out what a configuration says.

    Args:
        config: Configuration of synapses.
        inputs: Shape of the inputs.
        key: JAX PRNG key of random connectivity.
        partition: For whose devices to lay out connections, if they can do so; None for a whole.

    Returns:
        The connections, None if every input reaches every target at once; and the delays of the
        inputs in steps, a scalar or of shape `(inputs,)`, None without. Delays of connections are
        in their rows.

    Raises:
        ValueError: If connections or delays do not fit the shapes.
    """
    # Connections are laid out once, also where the build is part of a compiled program.
    with jax.ensure_compile_time_eval():
        return _connect(config, inputs, key, partition)


def _connect(
    config: Any, inputs: tuple[int, ...], key: Array, partition: Partition | None
) -> tuple[Connections | None, NumPyArray | None]:
    count, targets = math.prod(inputs), math.prod(config.units)
    of_inputs, of_connections = _delays(config, inputs)
    if config.connectivity == "dense":
        if of_connections is None or not of_connections.any():
            return None, of_inputs
        # In the order of the kernel, whatever the delays.
        pre, post = np.divmod(np.arange(count * targets), targets)
        return Connections(*stored_rows(pre, post, count, targets, of_connections)), None
    asked = count, targets, key, config.dt, config.dtype_of_kernel
    found = laid_out_for(config.connectivity, asked, partition if of_connections is None else None)
    given = None
    late = found.rows.steps > 1 or found.delays is not None or config.connectivity.delayed
    if config.delays is not None and late:
        raise ValueError("delays are given twice: by the connectivity, and by delays.")
    if config.async_spikes and late:
        raise ValueError(
            "async_spikes, spikes of each connection, go with no delays of the connectivity: they "
            "have come with their delays already."
        )
    if found.delays is not None:
        given = as_steps("delays of the connectivity", found.delays, config.dt).reshape(-1)
    if of_connections is not None and not isinstance(found.rows, StoredRows):
        raise ValueError(
            "delays of connections that are not stored are drawn: give ProceduralConnectivity a "
            f"distribution of delays; or delays for all, or of shape {inputs}, for each input."
        )
    if of_connections is None and given is None:
        return found, of_inputs
    pre, post = (np.asarray(each) for each in found.rows.all(found.adjacency))
    if of_connections is not None:
        given = of_connections.reshape(count, targets)[pre, post]
    assert given is not None
    # Slot by slot, a row leads through a ring buffer in one direction.
    laid = laid_out(pre, post, count, targets, given, found.weights)
    return laid.connections(targets, found.drawn), of_inputs


def _delays(config: Any, inputs: tuple[int, ...]) -> tuple[NumPyArray | None, NumPyArray | None]:
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


def pairs(rows: Rows, adjacency: Adjacency) -> tuple[Array, Array]:
    """Input and target of each connection along rows."""
    inputs, places = rows.all(adjacency)
    return inputs, places % rows.targets


def laid_out_for(connectivity: Any, asked: Any, partition: Partition | None) -> Connections:
    """Connections as a partition has them, where the class can lay out those of some devices.

    A subclass that lays out all of them in a way of its own cannot.
    """
    for each in type(connectivity).__mro__ if partition is not None else ():
        if vars(each).get("lay_out_by_device") is not None:
            found: Connections | None = connectivity.lay_out_by_device(*asked, partition)
            if found is not None:
                return found
            break
        if "lay_out" in vars(each):
            break
    whole: Connections = connectivity.lay_out(*asked)
    return whole


def along_rows(found: Connections, name: str, gain: NumPyArray) -> NumPyArray | Array:
    """A matrix (inputs, targets), either axis whole or of size 1, as it multiplies weights.

    Args:
        found: The connections.
        name: What an error calls the matrix.
        gain: The matrix.

    Returns:
        The same if it is of shape (inputs, 1); otherwise an entry per connection, as the arrays of
        these are laid out.

    Raises:
        ValueError: If it needs one, and connections are not stored.
    """
    return gain if gain.shape[1] == 1 else per_connection(found, name, gain)


def per_connection(found: Connections, name: str, gain: NumPyArray) -> NumPyArray | Array:
    """A matrix (inputs, targets), as in `along_rows`, as an entry per connection in any case."""
    rows = found.rows
    if found.by_device is not None:
        return found.by_device.along_rows(found.adjacency, gain)
    if not isinstance(rows, StoredRows):
        raise ValueError(
            f"{name} of ProceduralConnectivity must not differ between connections: give it per "
            "input or per target."
        )
    # As they were laid out: also where the build is part of a compiled program.
    with jax.ensure_compile_time_eval():
        inputs, targets = (np.asarray(each) for each in pairs(rows, found.adjacency))
    return np.broadcast_to(gain, (rows.inputs, rows.targets))[inputs, targets]

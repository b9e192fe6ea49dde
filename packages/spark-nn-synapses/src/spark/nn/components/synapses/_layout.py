"""How many traces a synapse keeps: as few as its parameters allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spark.core.tracers import Recurrence
from spark.nn.initializers import Drawn

Sharing = Literal["target", "group", "synapse"]
"""The owner of a trace: a target; the inputs of a target that decay alike; a synapse."""


class Layout(NamedTuple):
    """Where the parameters of a synapse live.

    A trace is linear in its drive, so that inputs which decay alike can share one: their scales,
    which may differ, go with the drive.

    Attributes:
        sharing: The owner of a trace.
        lead: Axes of the trace before those of the targets: none, the groups, or the inputs. Groups
            are in ascending order of their time constants.
        groups: Which group each input belongs to, of shape `(inputs,)`; None without groups.
        tracer: Parameters of the tracer, broadcastable to `(*lead, *units)`.
        gains: Names of the scales that vary over the inputs; they multiply the kernel, as matrices
            (inputs, targets) with each axis whole or of size 1.
        base: Name of the base that the synapse adds to the sum of the traces; None where the tracer
            rests on it.
        kept: Parameters that the synapse keeps instead of the tracer: gains and base, by name; a
            gain that is drawn for each of the connections along rows is `Drawn`.
    """

    sharing: Sharing
    lead: tuple[int, ...]
    groups: np.ndarray[Any, Any] | None
    tracer: dict[str, Any]
    gains: tuple[str, ...]
    base: str | None
    kept: dict[str, Any]


def lay_out(
    kind: type[Recurrence[Any]],
    parameters: Mapping[str, Any],
    units: tuple[int, ...],
    inputs: tuple[int, ...],
    trainable: Sequence[str] = (),
    along_rows: bool = False,
) -> Layout:
    """Find the smallest layout for some parameters.

    Args:
        kind: The recurrence that they are of: it names time constants and bases, others are scales.
        parameters: By name; each a scalar, of shape `units`, or, for time constants and scales, of
            as many axes as the kernel and broadcastable to it; or drawn for each of the connections
            along rows.
        units: Shape of the targets.
        inputs: Shape of the inputs.
        trainable: Names of parameters that will change. Time constants among these are not grouped
            by value.
        along_rows: Whether the kernel is read along rows of connections. Inputs that all decay
            differently are then as many groups, where they have axes of the trace otherwise.

    Raises:
        ValueError: If a parameter has another shape, or a transform traces a time constant that
            varies over inputs.
    """
    kernel = units + inputs
    tracer: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    own = False
    for name, value in parameters.items():
        if isinstance(value, Drawn):
            own = own or name in kind.time_constants
            (tracer if name in kind.time_constants else kept)[name] = value
            continue
        # A transform may trace what is drawn.
        array: Any = value if isinstance(value, jax.core.Tracer) else np.asarray(value)
        per_input = array.ndim == len(kernel) and name not in kind.bases
        fits = array.shape in ((), units) or (
            per_input
            and all(size in (1, whole) for size, whole in zip(array.shape, kernel, strict=True))
        )
        if not fits:
            raise ValueError(_misfit(name, array.shape, units, kernel, name in kind.bases))
        over_inputs = per_input and math.prod(array.shape[len(units) :]) != 1
        if not per_input or array.shape == units:
            tracer[name] = value
        elif not over_inputs:
            tracer[name] = array.reshape(array.shape[: len(units)])
        elif name in kind.time_constants:
            spread[name] = array
        else:
            kept[name] = as_matrix(array, units, inputs)

    sharing, lead, groups = _share(spread, units, inputs, trainable, along_rows, own)
    for name, array in spread.items():
        # Inputs lead: the trace of a step is then a sum over leading axes.
        moved = np.moveaxis(array, range(len(units)), range(-len(units), 0))
        if groups is not None:
            moved = np.broadcast_to(moved, (*inputs, *moved.shape[len(inputs) :]))
            flat = moved.reshape(math.prod(inputs), *moved.shape[len(inputs) :])
            moved = flat[np.unique(groups, return_index=True)[1]]
            if sharing == "target":
                (moved,) = moved
        tracer[name] = moved
    gains = tuple(kept)
    tracer |= dict.fromkeys(gains, 1.0)
    base = None
    if sharing != "target":
        # Several traces of one target: the base is added to their sum, once. That of a stage
        # before the last does not show in it.
        base = kind.bases[-1]
        kept[base], tracer[base] = tracer[base], 0.0
    ordered = {name: tracer[name] for name in parameters}
    return Layout(sharing, lead, groups if sharing == "group" else None, ordered, gains, base, kept)


def _share(
    spread: Mapping[str, Any],
    units: tuple[int, ...],
    inputs: tuple[int, ...],
    trainable: Sequence[str],
    along_rows: bool,
    own: bool,
) -> tuple[Sharing, tuple[int, ...], np.ndarray[Any, Any] | None]:
    """Which inputs decay alike, by time constants that vary over them, if connections do not."""
    traced = [array for array in spread.values() if isinstance(array, jax.core.Tracer)]
    # One that is drawn for each synapse differs between all, whatever the values are.
    own = own or any(array.shape == units + inputs for array in traced)
    if own or any(name in trainable for name in spread):
        return "synapse", inputs, None
    if not spread:
        return "target", (), None
    if traced:
        raise ValueError(
            f"{' and '.join(spread)} drawn per input tells which inputs share a trace, and is "
            "drawn outside of JAX transforms: build the synapses before, or draw per target."
        )
    count = math.prod(inputs)
    columns = [as_matrix(array, units, inputs) for array in spread.values()]
    rows = np.concatenate([np.broadcast_to(each, (count, each.shape[1])) for each in columns], 1)
    _, groups = np.unique(rows, axis=0, return_inverse=True)
    groups = groups.reshape(-1).astype(np.int32)
    several = int(groups.max(initial=-1)) + 1
    if several == 1:
        return "target", (), groups
    if several == count and not (along_rows and count):
        return "synapse", inputs, None
    return "group", (several,), groups


def as_matrix(
    array: np.ndarray[Any, Any], units: tuple[int, ...], inputs: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """A parameter as a matrix (inputs, targets), each axis whole or of size 1.

    Args:
        array: A scalar, of shape `units`, or with the axes of a kernel and broadcastable to it.
        units: Shape of the targets.
        inputs: Shape of the inputs.
    """
    if array.ndim != len(units) + len(inputs):
        array = array.reshape(*(array.shape or (1,) * len(units)), *(1,) * len(inputs))

    def whole(part: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...]:
        return of if math.prod(part) != 1 else part

    front, back = array.shape[: len(units)], array.shape[len(units) :]
    front, back = whole(front, units), whole(back, inputs)
    numpy: Any = jnp if isinstance(array, jax.Array) else np
    full = numpy.broadcast_to(array, front + back)
    return full.reshape(math.prod(front), math.prod(back)).T


def _misfit(
    name: str, shape: tuple[int, ...], units: tuple[int, ...], kernel: tuple[int, ...], rest: bool
) -> str:
    wanted = f"a scalar or of shape {units}, one for each target"
    if not rest:
        wanted += f", or of {len(kernel)} axes and broadcastable to the kernel of shape {kernel}"
    return f"{name} must be {wanted}; got shape {shape}."

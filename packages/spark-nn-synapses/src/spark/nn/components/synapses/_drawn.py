"""Parameters that are drawn: fields of configurations, and their values when synapses are built."""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable
from typing import Annotated, Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import PlainValidator
from scipy.special import ndtri

from spark.core.internal import as_parameter, as_storage_dtype, compute_dtype
from spark.nn.configs import fields
from spark.nn.initializers import Distribution, Drawn
from spark.nn.initializers.distributions import Inverse
from spark.nn.initializers.drawn import Owner, as_drawn

from ._connect import Connections
from ._layout import Layout
from ._own import Read
from ._projections.factors import STREAM, encoded, kind_of
from ._projections.rows import HEADER, DrawnRows

Given = float | np.ndarray[Any, Any] | jax.Array | Drawn


def _field(
    check: Callable[[Any], Any], *per: str, low: float = -math.inf, high: float = math.inf
) -> PlainValidator:
    """A check of a field that is given as numbers, or drawn.

    Args:
        check: The check of the numbers.
        per: What may have a value of its own.
        low: Below which nothing may be drawn.
        high: Above which nothing may be drawn.
    """

    def checked(value: Any) -> Any:
        drawn = as_drawn(value)
        if drawn is None:
            return check(value)
        if drawn.per not in per:
            allowed = " or ".join(map(repr, per))
            raise ValueError(f"must be drawn per={allowed}, got per={drawn.per!r}.")
        least, most = drawn.distribution.support
        for bound, beyond, side in (("low", least < low, low), ("high", most > high, high)):
            if beyond:
                raise ValueError(
                    f"must be drawn from a distribution with {bound}={side:g} or a narrower bound, "
                    f"got {drawn.distribution!r}."
                )
        return drawn

    return PlainValidator(checked)


_ANY = get_args(Owner)

TimeConstants = Annotated[Given, _field(fields.as_time_constant, *_ANY, low=0.0)]
"""Time constants of traces: a number, an array, or `Drawn`."""

Scales = Annotated[Given, _field(fields.as_parameter, *_ANY)]
"""Scales of traces, likewise."""

Bases = Annotated[Given, _field(fields.as_parameter, "target")]
"""Values at rest, likewise; of targets."""

TimeConstantsOfInputs = Annotated[Given, _field(fields.as_time_constant, "input", low=0.0)]
"""Time constants of inputs, likewise."""

PortionsOfInputs = Annotated[Given, _field(fields.as_portion, "input", low=0.0, high=1.0)]
"""Parts in [0, 1] of inputs, likewise."""


def drawn_fields(config: Any) -> dict[str, Drawn]:
    """The fields of a configuration that are drawn, by name."""
    return {name: value for name, value in config if isinstance(value, Drawn)}


def with_values(config: Any, inputs: tuple[int, ...], key: Array) -> Any:
    """A configuration with arrays in place of what is drawn, as they could have been given.

    What is drawn per connection, where not every input reaches every target, stays as it is: its
    values are along the rows of the connections.

    Args:
        config: Configuration of synapses.
        inputs: Shape of the inputs.
        key: JAX PRNG key of the build.
    """
    units, found = config.units, dict[str, Any]()
    for name, drawn in drawn_fields(config).items():
        shape = units
        if drawn.per == "input":
            shape = (1,) * len(units) + inputs if name in config.parameters else inputs
        elif drawn.per == "connection":
            if config.connectivity != "dense":
                continue
            shape = units + inputs
        found[name] = values(config, name, shape, key)
    # Unchecked: the tracers check parameters, and take what a transform traces.
    return type(config).model_construct(**{**dict(config), **found}) if found else config


def values(config: Any, name: str, shape: tuple[int, ...], key: Array) -> Any:
    """Values of a drawn parameter, of NumPy; of JAX if the key is traced by a transform."""
    wide = compute_dtype(as_storage_dtype(config.dtype))
    own = functools.partial(_draw, getattr(config, name).distribution, name, shape, wide)
    if isinstance(key, jax.core.Tracer):
        return own(key)
    with jax.ensure_compile_time_eval():
        return np.asarray(own(key))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(
    distribution: Distribution, name: str, shape: tuple[int, ...], dtype: jnp.dtype, key: Array
) -> Array:
    # A stream for each name, far from the first ones, which are those of a split key.
    own = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return distribution(own, shape, dtype)


def typical(config: Any) -> Any:
    """A configuration with a large number in place of what is still drawn."""
    found: dict[str, Any] = {}
    for name, drawn in drawn_fields(config).items():
        found[name] = float(np.abs(_quantiles(drawn)).max())
    return type(config).model_construct(**{**dict(config), **found}) if found else config


def _quantiles(drawn: Drawn) -> np.ndarray[Any, Any]:
    """Some numbers of a distribution: 4 of 5 are between the first and the last."""
    with np.errstate(over="ignore"):
        return np.asarray(drawn.distribution.inverse.at(np.array([0.1, 0.5, 0.9]), ndtri, np))


def with_factors(config: Any, found: Connections) -> Connections:
    """Procedural connections whose weights are multiplied by scales drawn per connection.

    Args:
        config: Configuration of synapses, `with_values`.
        found: The connections; others than procedural ones stay as they are.

    Raises:
        ValueError: If such a scale is to be trained, or is not finite.
    """
    scales = {
        name: drawn
        for name, drawn in drawn_fields(config).items()
        if name not in config.recurrence_class.time_constants
    }
    if not scales or not isinstance(found.rows, DrawnRows):
        return found
    kind, laws, streams = config.recurrence_class, list[Inverse](), list[int]()
    others = (*kind.time_constants, *kind.bases)
    names = [name for name in kind.parameters._fields if name not in others]
    dtypes = map(as_storage_dtype, (config.dtype, config.dtype_of_kernel))
    wide = max(dtypes, key=lambda dtype: dtype.itemsize)
    for name, drawn in scales.items():
        if name in config.trainable:
            raise ValueError(
                f"procedural connections are not stored, and {name} drawn for each of them cannot "
                "be trained: train the kernel, which holds the parameters of their weights, or "
                f"give {name} per input or per target."
            )
        # By its name, so that it is the same beside others.
        streams.append(STREAM + names.index(name))
        laws.append(drawn.distribution.inverse)
        # Checked as stored ones are, where most numbers are.
        for each in _quantiles(drawn):
            as_parameter(name, each, (), wide)
    words, sizes = found.adjacency
    with jax.ensure_compile_time_eval():
        whole = np.array(sizes)
        whole[HEADER - 1] = len(laws)
        factors = np.concatenate(list(map(encoded, laws, streams)))
        sizes = jnp.asarray(np.concatenate([whole[:HEADER], factors, whole[HEADER:]]))
    rows = dataclasses.replace(found.rows, factors=tuple(map(kind_of, laws)))
    return found._replace(rows=rows, adjacency=(words, sizes))


def of_traces(
    config: Any, layout: Layout, read_as: Read, inputs: tuple[int, ...], key: Array
) -> Layout:
    """A layout whose time constants that are drawn per connection have values at its traces.

    Args:
        config: Configuration of synapses, `with_values`.
        layout: The layout.
        read_as: The connections, which have traces of their own.
        inputs: Shape of the inputs.
        key: JAX PRNG key of the build.
    """
    assert read_as.traces is not None
    assert read_as.places is not None
    # Traces of no connection, which stay at 0, have the value of the first.
    count, order = len(read_as.places), np.zeros(read_as.traces.size, np.int64)
    order[read_as.places] = np.arange(count)
    shape = (*inputs, read_as.traces.shape[1])
    found = {
        name: values(config, name, (max(count, 1),), key)[order].reshape(shape)
        for name, value in layout.tracer.items()
        if isinstance(value, Drawn)
    }
    return layout._replace(tracer={**layout.tracer, **found})

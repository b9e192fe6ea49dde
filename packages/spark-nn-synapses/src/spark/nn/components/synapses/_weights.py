"""Initial weights: drawn or given, in the order of the kernel or along rows of connections."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from spark.core.internal import as_storage_dtype, compute_dtype
from spark.nn.initializers import KernelInitializerConfig

from ._connect import Connections, per_connection
from ._kernel import (
    AnyArray,
    Fault,
    as_kernel,
    as_weights,
    first_fault,
    in_dtype,
    inputs_first,
    require_no_fault,
    stored,
    warn_of_underflow,
)
from ._layout import as_matrix
from ._projections.rows import DrawnRows
from .partition import Partition

_NAME = "kernel_initializer"

_OF_A_MATRIX = ("sparse_normalized", "orthogonal")
"""Initializers whose entries are not independent."""


def dense_weights(
    config: Any, key: Array, shape: tuple[int, ...], partition: Partition | None
) -> AnyArray:
    """A kernel of a shape `units + input_shape`, as a matrix (inputs, targets).

    Raises:
        TypeError: If the initializer gives no numbers.
        ValueError: If it gives another shape, or a value that the dtype loses.
    """
    dtype, axes = as_storage_dtype(config.dtype_of_kernel), len(config.units)
    initializer = config.kernel_initializer
    if isinstance(initializer, np.ndarray):
        whole = inputs_first(as_kernel(_NAME, initializer, shape, dtype), axes)
        # On the host, until each device is given its own part.
        return whole if partition is not None else jnp.asarray(whole)
    if isinstance(initializer, KernelInitializerConfig):
        initializer = initializer.make(axes)

    def draw(key: Array) -> Any:
        return as_weights(_NAME, initializer(key, shape, compute_dtype(dtype)), shape)

    def part(key: Array) -> tuple[Array, Fault]:
        draws = draw(key)
        whole = in_dtype(draws, dtype, drawn=True)
        return inputs_first(whole, axes), first_fault(draws, whole)

    if partition is None:
        return jnp.asarray(inputs_first(stored(_NAME, draw(key), dtype, drawn=True), axes))
    # Each device draws its own part and looks through it, and no device the whole.
    where = partition.sharding(partition.kernel), partition.sharding(())
    weights, fault = jax.jit(part, out_shardings=where)(key)
    require_no_fault(_NAME, fault, dtype)
    return weights


def weights_along_rows(config: Any, found: Connections, key: Array) -> Array:
    """Weights of connections, of shape `(connections,)`; or parameters of those that are drawn.

    An initializer is asked for a matrix of all targets and as many inputs as a target has on
    average, so that one that goes by the number of inputs finds it.

    Raises:
        TypeError: If the initializer gives no numbers.
        ValueError: If it gives another shape or a value that is not finite, or makes what holds of
            a whole matrix; or there are weights of the connectivity too.
    """
    dtype, given = as_storage_dtype(config.dtype_of_kernel), config.kernel_initializer
    shape = (found.rows.weights,)
    if isinstance(given, np.ndarray):
        return jnp.asarray(as_kernel(_NAME, given, shape, dtype, "(connections,)"))
    default = type(config).model_fields[_NAME].default
    chosen = given is not default and given != default
    if found.weights is not None:
        if chosen:
            raise ValueError(
                f"{_NAME} must be an array of shape {shape} where the connectivity has weights of "
                f"its own, got {given!r}."
            )
        if found.by_device is not None:  # looked through by each device
            return jnp.asarray(found.weights)
        return jnp.asarray(as_kernel("weights of the connectivity", found.weights, shape, dtype))
    targets = math.prod(config.units)
    matrix = (targets, -(-found.rows.weights // targets))
    if not chosen:  # the default would leave stored connections at 0
        given = KernelInitializerConfig(name="sparse_uniform", density=1.0)
    if isinstance(given, KernelInitializerConfig):
        if given.name in _OF_A_MATRIX:
            raise ValueError(
                f"{_NAME} {given.name!r} is about the rows of a whole matrix, which weights along "
                "connections would not keep: take one of independent entries, or give an array of "
                f"shape {shape}, in the order of `connections`."
            )
        given = given.make()
    draws = as_weights(_NAME, given(key, matrix, compute_dtype(dtype)), matrix, "targets x inputs")
    flat = jnp.reshape(draws, -1)[: found.rows.weights]
    return jnp.asarray(stored(_NAME, flat, dtype, drawn=True))


def warn_of_faint_currents(
    config: Any, found: Connections | None, inputs: tuple[int, ...], weights: Array
) -> None:
    """Warn of weights whose spikes a current cannot show; each device looks at its own part.

    If there are some, those of all devices are put into the order of users, to tell the first.
    """
    # Largest current of a spike of weight 1, or a bound of it, for each weight.
    response: Any = np.ones((1, 1))
    if any(isinstance(factor, jax.core.Tracer) for factor in config.response):
        return
    for factor in config.response:
        response = response * np.abs(as_matrix(np.asarray(factor), config.units, inputs))
    if response.size == 0:  # no inputs
        return
    drawn = not isinstance(config.kernel_initializer, np.ndarray)
    if found is not None and config.connectivity != "dense":
        drawn = drawn and (found.weights is None or found.drawn)
        if isinstance(found.rows, DrawnRows):
            # The largest number of the distribution stands for its weights.
            weights, drawn = jnp.max(jnp.abs(weights), keepdims=True), False
        if response.size == 1 or isinstance(found.rows, DrawnRows):
            response = np.max(response, keepdims=True)[0]
        else:
            whole = (len(response), math.prod(config.units))
            response = per_connection(found, "scale", np.broadcast_to(response, whole))
    in_order = None
    if found is not None and found.by_device is not None:
        in_order = functools.partial(found.by_device.whole, found.adjacency)
    warn_of_underflow(weights, response, as_storage_dtype(config.dtype), drawn, in_order)

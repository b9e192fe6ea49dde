"""Kernels as they are stored: checked for shape, and for weights that a dtype would lose."""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from spark.core.internal import compute_dtype, smallest
from spark.nn.configs.arrays import is_frozen
from spark.nn.payloads import FloatArray

_MANY = 1 << 22
"""Weights that are looked through at once."""

AnyArray: TypeAlias = Array | np.ndarray[Any, Any]
"""An array on a device, or one that stays on the host: no device may have room for the whole."""


def as_kernel(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: jnp.dtype,
    axes: str = "units + input_shape",
) -> AnyArray:
    """A kernel of some shape and dtype.

    Args:
        name: What an error calls it.
        value: An array or a `FloatArray`.
        shape: Shape that it must have.
        dtype: Dtype to store it in.
        axes: What an error calls the axes of `shape`.

    Raises:
        TypeError: If it is no array of numbers.
        ValueError: If its shape is another, or a weight does not survive the dtype: it is not
            finite there, or became 0.
    """
    return stored(name, as_weights(name, value, shape, axes), dtype)


def inputs_first(kernel: Any, target_axes: int) -> Any:
    """A kernel of shape `units + input_shape` in the order that a projection reads.

    Args:
        kernel: The kernel.
        target_axes: How many of its axes are those of the targets.

    Returns:
        A matrix (inputs, targets), of NumPy or of JAX as the kernel is.
    """
    targets, inputs = kernel.shape[:target_axes], kernel.shape[target_axes:]
    return kernel.reshape(math.prod(targets), math.prod(inputs)).T


def as_weights(
    name: str, value: Any, shape: tuple[int, ...], axes: str = "units + input_shape"
) -> AnyArray:
    """Numbers of some shape, in the dtype that they came in; see `as_kernel`."""
    array = value.value if isinstance(value, FloatArray) else value
    try:
        array = array if isinstance(array, jax.Array) else np.asarray(array)
        number = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(
            array.dtype, jnp.integer
        )
    except (TypeError, ValueError):
        number = False
    if not number:
        raise TypeError(f"{name} must be an array of numbers, got {value!r}.")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {axes} = {shape}, got {array.shape}.")
    return array


def stored(name: str, weights: AnyArray, dtype: jnp.dtype, drawn: bool = False) -> AnyArray:
    """Weights in the dtype of a kernel, once it is sure that none of them is lost.

    Args:
        name: What an error calls them.
        weights: The weights, in the dtype that they came in.
        dtype: Dtype to store them in.
        drawn: Whether they are random; see `in_dtype`.

    Raises:
        ValueError: If a weight is not finite in the dtype, or counts as 0 and was not 0.
    """
    kernel = in_dtype(weights, dtype, drawn)
    if isinstance(kernel, jax.core.Tracer):
        return kernel
    # Of many weights, a mask of all would take more memory than they do.
    if isinstance(kernel, jax.Array) and kernel.size > _MANY:
        require_no_fault(name, _first_fault(weights, kernel), dtype)
        return kernel
    rows = max(1, _MANY // max(math.prod(kernel.shape[1:]), 1)) if kernel.ndim else 1
    for first in range(0, len(kernel) if kernel.ndim else 1, rows):
        some = slice(first, first + rows) if kernel.size > _MANY else ...
        lost = is_lost(weights[some], kernel[some])
        if bool(lost.any()):
            where = tuple(int(i) for i in np.argwhere(np.asarray(lost))[0])
            where = (first + where[0], *where[1:]) if where else where
            raise _fault(name, dtype, float(weights[where]), where)
        if some is ...:
            break
    return kernel


def in_dtype(weights: AnyArray, dtype: jnp.dtype, drawn: bool) -> Any:
    """Weights in the dtype of a kernel.

    Of many random ones some are nearer to 0 than a half-precision number can be. One that is below
    the resolution of the largest weight becomes the number next to 0, so that a connection stays
    one. A distribution that is lost as a whole is left for `is_lost` to find.
    """
    # NumPy would warn of what is found later.
    with np.errstate(over="ignore", under="ignore"):
        kernel: Any = weights.astype(dtype, copy=not is_frozen(weights))
    if not (drawn and weights.size and isinstance(weights, jax.Array)) or weights.dtype == dtype:
        return kernel
    magnitude = jnp.abs(weights)
    negligible = magnitude < float(jnp.finfo(dtype).eps) * jnp.max(magnitude)
    next_to_0 = jnp.copysign(jnp.asarray(smallest(dtype), weights.dtype), weights).astype(dtype)
    return jnp.where(negligible & (kernel == 0) & _is_not_0(weights), next_to_0, kernel)


def is_lost(weights: AnyArray, kernel: AnyArray) -> Any:
    """Where a kernel has not kept a weight: it is not finite, or counts as 0 and was not 0."""
    numpy: Any = jnp if isinstance(kernel, jax.Array) else np
    counts = numpy.abs(kernel) >= smallest(kernel.dtype)
    return ~numpy.isfinite(kernel) | (_is_not_0(weights) & ~counts)


def _is_not_0(weights: AnyArray) -> Any:
    if not isinstance(weights, jax.Array) or not jnp.issubdtype(weights.dtype, jnp.floating):
        return weights != 0
    # By the bits but for the sign: XLA takes a subnormal number for 0.
    return weights.view(f"uint{8 * weights.dtype.itemsize}") << 1 != 0


class Fault(NamedTuple):
    """The first weight that a kernel has not kept, if there is one.

    Attributes:
        found: Whether there is one.
        where: Its index.
        value: What it was.
    """

    found: Bool[Array, ""]
    where: tuple[Int[Array, ""], ...]
    value: Float[Array, ""]


def first_fault(weights: AnyArray, kernel: Array) -> Fault:
    """Look for a lost weight on the devices, none of which may have the whole kernel."""
    # Elementwise and by minima: nothing is gathered, however the kernel is sharded.
    fault: Bool[Array, "..."] = is_lost(weights, kernel)
    found, index = jnp.any(fault), []
    for axis, size in enumerate(kernel.shape):
        place = lax.broadcasted_iota(jnp.int32, kernel.shape, axis)
        index.append(jnp.min(place, where=fault, initial=size))
        fault &= place == index[-1]
    return Fault(found, tuple(index), jnp.sum(weights, where=fault))


_first_fault = jax.jit(first_fault)


def require_no_fault(name: str, fault: Fault, dtype: jnp.dtype) -> None:
    """Refuse a kernel that has lost a weight; inside a JAX transform, nothing is known yet.

    Raises:
        ValueError: If it has.
    """
    if not isinstance(fault.found, jax.core.Tracer) and bool(fault.found):
        where = tuple(map(int, fault.where))
        raise _fault(name, dtype, float(fault.value), where)


def warn_of_underflow(
    weights: Array,
    response: Any,
    dtype: jnp.dtype,
    drawn: bool,
    in_order: Callable[[Any], Any] | None = None,
) -> None:
    """Warn if the currents of some spikes are too small for their dtype.

    Args:
        weights: The kernel, in any layout.
        response: Largest current of a spike of weight 1; broadcastable to `weights`.
        dtype: Dtype of the currents.
        drawn: Whether the weights are random, so that some are small beside the largest.
        in_order: Puts an array that is laid out like the weights into the order of users; None if
            it is in that order.
    """
    if isinstance(weights, jax.core.Tracer) or compute_dtype(dtype) == dtype:
        return
    fault = _underflow(weights, response, dtype, drawn)
    if bool(fault.found):
        if in_order is not None:
            weights = in_order(weights)
            response = response if np.size(response) == 1 else in_order(response)
            fault = _underflow(weights, response, dtype, drawn)
        where = tuple(map(int, fault.where))
        warnings.warn(
            f"a spike gives a current of {float(fault.value):.3g} at most along the weight at "
            f"index {where} (inputs first), and {dtype} holds none below {smallest(dtype):.3g}: "
            "choose dtype='float32', or a smaller unit, such as pA instead of A.",
            stacklevel=_of_the_caller(),
        )


def _of_the_caller() -> int:
    """The `stacklevel` of the first frame that is not of this namespace."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("spark."):
        frame, level = frame.f_back, level + 1
    return level


@functools.partial(jax.jit, static_argnums=(2, 3))
def _underflow(weights: Array, response: Any, dtype: jnp.dtype, drawn: bool) -> Fault:
    """The first current that counts as 0."""
    wide = compute_dtype(dtype)
    currents = weights.astype(wide) * jnp.asarray(response).astype(wide)
    # What is too large is limited, not lost.
    return first_fault(currents, jnp.clip(in_dtype(currents, dtype, drawn), -1, 1))


def _fault(name: str, dtype: jnp.dtype, value: float, where: tuple[int, ...]) -> ValueError:
    least = smallest(dtype)
    if abs(value) < least:
        return ValueError(
            f"{name} must be 0 or at least {least:.3g} in {dtype}, got {value:g} at index {where}: "
            "it would count as 0; choose a smaller unit, such as pA instead of A, or a wider "
            "kernel_dtype."
        )
    return ValueError(f"{name} must be finite in {dtype}, got {value} at index {where}.")

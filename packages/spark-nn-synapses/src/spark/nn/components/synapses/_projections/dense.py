"""Spikes times a kernel: densely, or by adding up the rows of the inputs that spike."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jaxtyping import Array, Bool, Float, Int

from spark.core.internal import compute_dtype

from .. import _cpu
from .base import Kernel, Projection, Way, Weights
from .map_leading import map_leading
from .primitives import define, varying
from .spiking import active

# Up to this size, it takes longer to count the spikes than to read the rows of all.
_SMALL = 1 << 14

# From this size on, one vector is multiplied in parts, side by side: twice as fast as in one piece.
_LARGE = 1 << 18
_PARTS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense(Projection):
    """Sums over the inputs, for each target."""

    def apply(self, parameters: Kernel, carry: Any, x: Array) -> tuple[Any, Array]:
        front, flat = self.flat(x)
        sums = project(parameters.weights, flat, self.way, self.dtype_of(parameters))
        return carry, sums.reshape(*front, *self.units)


def project(
    weights: Weights, spikes: Array, way: Way = "auto", dtype: Any = None
) -> Float[Array, "*batch targets"]:
    """The sum over inputs of weight times spike, for each target.

    Inputs that do not spike add nothing, whatever their weights: a NaN among these stays where it
    is. The derivative is that of the product, at silent inputs too.

    Args:
        weights: Factors of the kernel, inputs first, as `Weights`.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        way: `"dense"` multiplies; `"events"` reads the rows of the inputs that spike on a CPU, and
            multiplies without the others elsewhere; `"auto"` takes the one that is faster on this
            device by shape and by how many spike. All are exact at every rate.
        dtype: Dtype of the currents; None takes that of the kernel.

    Returns:
        Sums in the arithmetic dtype of that, at least float32.
    """
    wide = compute_dtype(weights[0].dtype if dtype is None else dtype)
    if spikes.dtype != bool:
        spikes = spikes.astype(wide)
    return _project(_chosen(way), wide, weights, spikes)


def _chosen(way: Way) -> Way:
    """`"auto"` resolved for this device."""
    # XLA alone multiplies.
    if way == "auto" and (jax.default_backend() != "cpu" or not _cpu.available()):
        return "dense"
    return way


def with_derivative_of(product: Callable[..., Array]) -> Callable[..., Any]:
    """Give a function the derivative of another, which differs only at faults."""

    def decorate(exact: Callable[..., Array]) -> Callable[..., Any]:
        function = jax.custom_jvp(exact)

        @function.defjvp
        def _jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
            return function(*primals), jax.jvp(product, primals, tangents)[1]

        return function

    return decorate


def _project(way: Way, wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    *batch, inputs = spikes.shape
    rows = spikes.reshape(math.prod(batch), inputs)
    sums: Array = _projected(way, wide)(weights, rows)
    return sums.reshape(*batch, sums.shape[-1])


@functools.cache
def _projected(way: Way, wide: jnp.dtype) -> Callable[[Weights, Array], Array]:
    """`(weights, spikes) -> sums` over one batch axis, with its derivative and its batching."""

    @with_derivative_of(functools.partial(_dense, wide))
    def projected(weights: Weights, spikes: Array) -> Array:
        return batched(weights, spikes)

    @custom_vmap
    def batched(weights: Weights, spikes: Array) -> Array:
        return _RUN[way](wide, weights, spikes)

    @batched.def_vmap
    def _vmap(size: int, mapped: Any, weights: Weights, spikes: Array) -> tuple[Array, bool]:
        # A choice between the ways survives only outside of a vectorised program.
        if not mapped[1]:
            spikes = jnp.broadcast_to(spikes, (size, *spikes.shape))
        if not any(mapped[0]):
            return _project(way, wide, weights, spikes), True
        spread = tuple(
            weight if each else jnp.broadcast_to(weight, (size, *weight.shape))
            for weight, each in zip(weights, mapped[0], strict=True)
        )
        return map_leading(lambda both: batched(*both), (spread, spikes)), True

    return projected


def product_of(weights: Weights, wide: jnp.dtype) -> Array:
    return functools.reduce(jnp.multiply, [weight.astype(wide) for weight in weights])


def _dense(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    kernel, vectors = product_of(weights, wide), spikes.astype(wide)
    inputs, targets = kernel.shape
    # Accelerators would take fewer digits for speed.
    exactly = lax.Precision.HIGHEST
    if len(spikes) != 1:
        return jnp.dot(vectors, kernel, precision=exactly)
    if kernel.size < _LARGE or inputs % _PARTS:
        return jnp.dot(vectors.reshape(inputs), kernel, precision=exactly).reshape(-1, targets)
    parts = vectors.reshape(_PARTS, 1, -1), kernel.reshape(_PARTS, -1, targets)
    return jnp.sum(jnp.matmul(*parts, precision=exactly), axis=0)


def _dense_or_faults(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    """A product; where it has met a fault, only the rows of inputs that spike."""
    dense, events = functools.partial(_dense, wide), functools.partial(_events, wide)
    if weights[0].size <= _SMALL:
        # The same at each step of a loop, so that it is found out once.
        sound = jnp.all(jnp.isfinite(product_of(weights, weights[0].dtype)))
        return lax.cond(sound, dense, events, weights, spikes)
    product = dense(weights, spikes)
    sound = jnp.all(jnp.isfinite(product))
    return lax.cond(sound, lambda *_: product, events, weights, spikes)


def _fewest(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    """Rows of spiking inputs, unless there are so many that a product is faster."""
    batch, inputs = spikes.shape
    if batch == 1 and (weights[0].dtype != wide or weights[0].size <= _SMALL):
        # A product would first convert the whole kernel, or the choice would cost more.
        return _events(wide, weights, spikes)
    # A product of several vectors reads the kernel once for all of them.
    share = max(1 / 16, 2 / (5 * batch)) if batch else 1
    few = _count(active(spikes)) <= int(share * batch * inputs)
    events, dense = functools.partial(_events, wide), functools.partial(_dense_or_faults, wide)
    return lax.cond(few, events, dense, weights, spikes)


def _count(spikes: Bool[Array, "batch inputs"]) -> Int[Array, ""]:
    # First over the batch, in the narrowest type that can hold it: twice as fast.
    narrow = jnp.uint16 if len(spikes) < 1 << 16 else jnp.int32
    return jnp.sum(jnp.sum(spikes, axis=0, dtype=narrow), dtype=jnp.int32)


def _events(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    """The rows of the inputs that spike, added up; no other row is read on a CPU."""
    kernel, *gains = weights
    inputs, _ = kernel.shape
    full = [gain for gain in gains if gain.shape[1] != 1]
    for gain in gains:
        if gain.shape[1] == 1:
            each = jnp.broadcast_to(gain, (inputs, 1)).astype(wide).T
            # A silent input stays so, whatever its gain.
            spikes = jnp.where(active(spikes), spikes.astype(wide) * each, 0)
    if len(full) > 1:
        full = [product_of(tuple(full), wide)]
    gain = jnp.broadcast_to(full[0], kernel.shape) if full else jnp.zeros((0, 0), wide)
    kernel, gain = (
        each if each.dtype.name in _cpu.FLOATS else each.astype(wide) for each in (kernel, gain)
    )
    if any(map(varying, map(jax.typeof, (kernel, gain, spikes)))):
        # JAX tracks differences between devices through its own operations alone.
        return _masked(kernel, gain, spikes, dtype=wide)
    sums: Array = _rows.bind(kernel, gain, spikes, dtype=wide)
    return sums


_RUN = {"dense": _dense_or_faults, "auto": _fewest, "events": _events}


# A primitive, for what a platform does. Its operands are the kernel, what each weight is multiplied
# by if there is such, and spikes of shape (batch, inputs).
_rows = Primitive("project_dense_rows")


def _shape(kernel: Any, gain: Any, spikes: Any, *, dtype: jnp.dtype) -> ShapedArray:
    return ShapedArray((spikes.shape[0], kernel.shape[1]), dtype)


def _of_engine(kernel: Array, gain: Array, spikes: Array, *, dtype: jnp.dtype) -> Array:
    result = jax.ShapeDtypeStruct((len(spikes), kernel.shape[1]), dtype)
    sums: Array = _cpu.call("dense", (kernel, gain, spikes), result)
    return sums


def _masked(kernel: Array, gain: Array, spikes: Array, *, dtype: jnp.dtype) -> Array:
    """A product, of a kernel without the rows of the inputs that are silent."""
    whole = product_of((kernel, gain) if gain.size else (kernel,), dtype)

    def one(spikes: Array) -> Array:
        rows = jnp.where(active(spikes)[:, None], whole, 0)
        return jnp.dot(spikes.astype(dtype), rows, precision=lax.Precision.HIGHEST)

    return map_leading(one, spikes)


def _on_cpu(*arrays: Array, dtype: jnp.dtype) -> Array:
    return (_of_engine if _cpu.available() else _masked)(*arrays, dtype=dtype)


define(_rows, _shape, _masked, _on_cpu)

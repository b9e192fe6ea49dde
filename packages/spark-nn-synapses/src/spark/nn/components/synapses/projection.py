"""Spikes times a kernel: densely, or by adding up the rows of the inputs that spike."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from spark.core.tracers.rounding import arithmetic_dtype

from .events import Events, active
from .map_leading import map_leading

Way = Literal["auto", "dense", "events"]
"""How a projection is computed."""

WAYS = get_args(Way)

Weights: TypeAlias = tuple[Float[Array, "#inputs #targets"], ...]
"""Factors whose product is the weight of each synapse; the first has its full shape."""

# Measured on a CPU (see the changelog): up to this size one product costs less than to look which
# inputs spike. Since jax 0.12 a loop costs less to start.
_SMALL = 1 << (14 if jax.__version_info__ < (0, 12) else 10)

# From this size on, one vector is multiplied in parts, side by side: twice as fast as in one piece.
_LARGE = 1 << 18
_PARTS = 8

# Rows added per turn of the loop, each read once. Fewer leave the loop itself to be paid, more do
# nothing but pad.
_ROWS = 16


def project(
    weights: Weights, spikes: Array, way: Way = "auto", dtype: Any = None
) -> Float[Array, "*batch targets"]:
    """The sum over inputs of weight times spike, for each target.

    Inputs that do not spike add nothing, whatever their weights: a NaN among these stays where it
    is. The derivative is that of the product, at silent inputs too.

    Args:
        weights: Factors of the kernel, inputs first, as `Weights`.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        way: `"dense"` multiplies; `"events"` reads the rows of the inputs that spike, whose cost
            grows with their number; `"auto"` takes the one that is faster on this device by shape
            and by how many spike. All are exact at every rate.
        dtype: Dtype of what the sums are for; None takes that of the kernel.

    Returns:
        Sums in the arithmetic dtype of that, at least float32.
    """
    wide = arithmetic_dtype(weights[0].dtype if dtype is None else dtype)
    if spikes.dtype != bool:
        spikes = spikes.astype(wide)
    return _project(_chosen(way, weights[0]), wide, weights, spikes)


def contributions(
    weights: Weights, spikes: Array, dtype: Any = None
) -> Float[Array, "*batch inputs targets"]:
    """Weight times spike of each synapse; nothing where there is no spike.

    Args:
        weights: Factors of the kernel, inputs first, as `Weights`.
        spikes: Booleans or signed numbers, broadcastable to `(*batch, inputs, targets)`.
        dtype: Dtype of what the products are for; None takes that of the kernel.

    Returns:
        The products, in the arithmetic dtype of that.
    """
    wide = arithmetic_dtype(weights[0].dtype if dtype is None else dtype)
    if spikes.dtype != bool:
        spikes = spikes.astype(wide)
    return _contributions(wide)(weights, spikes)


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


def _chosen(way: Way, kernel: Array) -> Way:
    """`"auto"` as what to do with this kernel on this device."""
    if way != "auto":
        return way
    # On a GPU a loop over spikes was measured at one size and activity alone, 16 384 x 16 384 and
    # 1 %: it takes 0.78 times as long as the product (NVIDIA H100). That is too little to go by.
    if jax.default_backend() != "cpu" or kernel.size <= _SMALL:
        return "dense"
    return "auto"


def _with_derivative_of(product: Callable[..., Array]) -> Callable[..., Any]:
    """Give a function the derivative of another, which differs only at faults."""

    def decorate(exact: Callable[..., Array]) -> Callable[..., Any]:
        function = jax.custom_jvp(exact)

        @function.defjvp
        def _jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
            return function(*primals), jax.jvp(product, primals, tangents)[1]

        return function

    return decorate


@functools.cache
def _contributions(wide: jnp.dtype) -> Callable[[Weights, Array], Array]:
    """`(weights, spikes) -> products` in a dtype."""

    def product(weights: Weights, spikes: Array) -> Array:
        kernel = _product(weights, wide)
        return jnp.expand_dims(kernel, tuple(range(spikes.ndim - 2))) * spikes.astype(wide)

    @_with_derivative_of(product)
    def exact(weights: Weights, spikes: Array) -> Array:
        if spikes.dtype == bool:
            every = product(weights, jnp.ones_like(spikes))
        else:
            every = product(weights, spikes)
        return jnp.where(active(spikes), every, jnp.zeros_like(every))

    return exact


def _project(way: Way, wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    *batch, inputs = spikes.shape
    rows = spikes.reshape(math.prod(batch), inputs)
    sums: Array = _projected(way, wide)(weights, rows)
    return sums.reshape(*batch, sums.shape[-1])


@functools.cache
def _projected(way: Way, wide: jnp.dtype) -> Callable[[Weights, Array], Array]:
    """`(weights, spikes) -> sums` over one batch axis, with its derivative and its batching."""

    @_with_derivative_of(functools.partial(_dense, wide))
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


def _product(weights: Weights, wide: jnp.dtype) -> Array:
    return functools.reduce(jnp.multiply, [weight.astype(wide) for weight in weights])


def _dense(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    kernel, vectors = _product(weights, wide), spikes.astype(wide)
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
        sound = jnp.all(jnp.isfinite(_product(weights, weights[0].dtype)))
        return lax.cond(sound, dense, events, weights, spikes)
    product = dense(weights, spikes)
    sound = jnp.all(jnp.isfinite(product))
    return lax.cond(sound, lambda *_: product, events, weights, spikes)


def _fewest(wide: jnp.dtype, weights: Weights, spikes: Array) -> Array:
    """Rows of spiking inputs, unless there are so many that a product is faster."""
    batch, inputs = spikes.shape
    if batch == 1 and weights[0].dtype != wide:
        # A product would first convert the whole kernel.
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
    if len(spikes) == 1:
        return _add_rows(wide, weights, spikes[0])[None]
    return map_leading(functools.partial(_add_rows, wide, weights), spikes)


_RUN = {"dense": _dense_or_faults, "auto": _fewest, "events": _events}


def _add_rows(wide: jnp.dtype, weights: Weights, spikes: Array) -> Float[Array, " targets"]:
    """The sum of the rows of the inputs that spike; reads no other row."""
    inputs, targets = weights[0].shape
    zero = jnp.zeros(targets, wide)
    if inputs == 0:
        return zero
    spiking = Events.of(active(spikes))
    count = spiking.number

    def row(index: Array) -> Array:
        # Behind a barrier, or XLA would convert a whole bfloat16 kernel before the loop.
        here, _ = lax.optimization_barrier((weights, index))
        parts = [
            lax.dynamic_index_in_dim(weight, index, keepdims=False)
            if weight.shape[0] == inputs
            else weight[0]
            for weight in here
        ]
        return jnp.broadcast_to(_product(tuple(parts), wide), targets)

    def add(turn: Array, sums: Array) -> Array:
        ranks = turn * _ROWS + jnp.arange(_ROWS, dtype=jnp.int32)
        found = spiking.find(ranks)
        for i in range(_ROWS):
            one = row(found[i])
            if spikes.dtype != bool:
                one = one * spikes[found[i]]
            # Beyond the last spike, whatever was found adds nothing.
            sums = sums + jnp.where(ranks[i] < count, one, zero)
        return sums

    return lax.fori_loop(0, -(-count // _ROWS), add, zero)

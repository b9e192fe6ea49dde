"""Spikes times a kernel that is read along rows of connections: the sum, and its two transposes.

The sums for spikes `s`, weighed by `g`, are a form `sum of w s g` over all connections. It is
linear in weights, spikes and weighing, so that each of three maps takes two of these and gives
the derivative by the third; and the derivatives of each map are the other two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from .events import Events, active
from .map_leading import map_leading
from .rows import Rows, Wires

# Spikes found per turn of the loop.
_RANKS = 128

# Rows added at a time, in two thirds of the time of one by one; eight take as long, and sixteen
# twice that of one by one (see the changelog).
_ROWS = 4

Of = Literal["weights", "inputs", "targets"]
"""What a map gives: sums for the targets, or derivatives by weights or inputs."""

_KINDS = get_args(Of)


def project_rows(
    rows: Rows,
    wires: Wires,
    weights: Float[Array, " weights"],
    spikes: Array,
    dtype: jnp.dtype,
    way: Literal["auto", "dense", "events"] = "auto",
    into: Float[Array, "*batch targets"] | None = None,
) -> Float[Array, "*batch targets"]:
    """The sum over inputs of weight times spike, for each target, along rows of connections.

    Inputs that do not spike add nothing, whatever their weights. The derivative is that of the
    product, at silent inputs too.

    Args:
        rows: Where each input leads.
        wires: The arrays that the rows are read from.
        weights: The weights, as the rows have them.
        spikes: Booleans or signed numbers, of shape `(*batch, inputs)`.
        dtype: Arithmetic dtype, and that of the sums.
        way: `"events"` reads the rows of the inputs that spike, one after the other; `"dense"`
            all at once, if they are stored; `"auto"` the former on a CPU, the latter elsewhere.
        into: What the sums are added to; None stands for zeros.

    Returns:
        The sums.
    """
    *batch, inputs = spikes.shape
    spikes = spikes.reshape(math.prod(batch), inputs)
    if spikes.dtype != bool:
        spikes = spikes.astype(dtype)
    shape = (1 if into is None else len(spikes), rows.targets)
    start = jnp.zeros(shape, dtype) if into is None else into.reshape(shape)
    if way == "auto":
        way = "events" if jax.default_backend() == "cpu" else "dense"
    static = {"rows": rows, "dtype": dtype, "dense": way == "dense" and rows.stored}
    sums: Array = _project.bind(*wires, weights, spikes, start, of="targets", **static)
    return sums.reshape(*batch, rows.targets)


# A primitive: JAX has no other way to be told the transpose of a linear map under every transform.
# Its operands are the wires, the two kinds that a map takes, and what it adds to: with the leading
# axis of the batch that spikes and sums have, or one of size 1.
_project = Primitive("project_rows")


def _run(*arrays: Array, of: Of, rows: Rows, dtype: jnp.dtype, dense: bool) -> Array:
    *wires, first, second, start = arrays
    run = (_DENSE if dense else _EVENTS)[of]
    return run(rows, dtype, tuple(wires), first, second, start)


_project.def_impl(jax.jit(_run, static_argnames=("of", "rows", "dtype", "dense")))
mlir.register_lowering(_project, mlir.lower_fun(_run, multiple_results=False))


def _shape(*arrays: Any, of: Of, **static: Any) -> ShapedArray:
    # JAX would take the result for one that all devices share, and not add up its derivatives.
    if any(map(_varying, arrays)):
        raise TypeError(
            "sparse connections inside jax.shard_map need check_vma=False: JAX does not keep track "
            "for them of what differs between devices."
        )
    *_, second, start = arrays
    if of == "weights":
        return ShapedArray(start.shape, start.dtype)
    return ShapedArray((second.shape[0], start.shape[1]), start.dtype)


def _varying(array: Any) -> frozenset[str]:
    """The axes of a mesh along which an array differs, inside a `jax.shard_map` that looks."""
    kind = getattr(array, "manual_axis_type", None)  # jax 0.8 has `vma`
    axes: frozenset[str] = array.vma if kind is None else kind.varying
    return axes


_project.def_abstract_eval(_shape)


def _without_start(of: Of, wires: Wires, given: dict[str, Array], static: Any) -> Array:
    """What a map gives, of the two kinds it takes, by name."""
    rows, dtype = static["rows"], static["dtype"]
    shapes = {"weights": (rows.weights,), "inputs": (1, rows.inputs), "targets": (1, rows.targets)}
    two = [given[kind] for kind in _KINDS if kind != of]
    result: Array = _project.bind(*wires, *two, jnp.zeros(shapes[of], dtype), of=of, **static)
    return result


def _jvp(primals: Any, tangents: Any, *, of: Of, **static: Any) -> tuple[Array, Array]:
    *wires, first, second, _ = primals
    given = dict(zip([kind for kind in _KINDS if kind != of], (first, second), strict=True))
    changes = [
        _without_start(of, tuple(wires), given | {kind: tangent}, static)
        for kind, tangent in zip(given, tangents[-3:-1], strict=True)
        if not isinstance(tangent, ad.Zero)
    ]
    if not isinstance(tangents[-1], ad.Zero):
        changes.append(tangents[-1])
    return _project.bind(*primals, of=of, **static), sum(changes[1:], changes[0])


def _transpose(cotangent: Any, *arrays: Any, of: Of, **static: Any) -> list[Any]:
    *wires, first, second, _ = arrays
    given = dict(zip([kind for kind in _KINDS if kind != of], (first, second), strict=True))
    # Never by the start, which is 0 in all that `_jvp` makes.
    (unknown,) = [kind for kind, value in given.items() if ad.is_undefined_primal(value)]
    aval = given.pop(unknown).aval
    credit: Any = ad.Zero(aval)
    if not isinstance(cotangent, ad.Zero):
        known = given | {of: cotangent}
        credit = _without_start(unknown, tuple(wires), known, static).astype(aval.dtype)
    both = [credit if kind == unknown else None for kind in _KINDS if kind != of]
    return [*[None] * len(wires), *both, None]


def _batch(arrays: Any, axes: Any, *, of: Of, **static: Any) -> tuple[Array, int]:
    is_mapped = [isinstance(axis, int) for axis in axes]
    moved = [
        jnp.moveaxis(array, axis, 0) if each else array
        for array, axis, each in zip(arrays, axes, is_mapped, strict=True)
    ]
    several = [array for array, each in zip(moved, is_mapped, strict=True) if each]
    size = len(several[0])
    if of != "weights" and not any(is_mapped[:-2]):
        # The kernel is the same for all: more of what is a batch anyway.
        batch = moved[-2].shape[-2]

        def flat(array: Array, rows: int) -> Array:
            full = jnp.broadcast_to(array, (size, rows, array.shape[-1]))
            return full.reshape(size * rows, array.shape[-1])

        start = moved[-1]
        if is_mapped[-1] or len(start) != 1:
            start = flat(start, batch)
        together = _project.bind(*moved[:-2], flat(moved[-2], batch), start, of=of, **static)
        return together.reshape(size, batch, together.shape[-1]), 0

    def one(several: list[Array]) -> Array:
        each = iter(several)
        every = [next(each) if yes else array for array, yes in zip(moved, is_mapped, strict=True)]
        result: Array = _project.bind(*every, of=of, **static)
        return result

    return map_leading(one, several), 0


ad.primitive_jvps[_project] = _jvp
ad.primitive_transposes[_project] = _transpose
batching.primitive_batchers[_project] = _batch


def _to_targets(
    rows: Rows, wide: jnp.dtype, wires: Wires, weights: Array, spikes: Array, start: Array
) -> Float[Array, "batch targets"]:
    def one(spikes: Array, start: Array) -> Array:
        def values(index: Array, part: Array) -> Array:
            read = rows.read(wires, weights, index, part, wide)
            if spikes.dtype == bool:
                return read
            # Of a spike that is no number, nothing goes on where the row has ended.
            own = rows.within(wires, index, part)
            return jnp.where(own, read * spikes[index], jnp.zeros((), wide))

        def add(several: list[Array], part: Array, sums: Array) -> Array:
            targets = jnp.concatenate([rows.reached(wires, each, part) for each in several])
            added = jnp.concatenate([values(each, part) for each in several])
            return sums.at[targets].add(added, mode="promise_in_bounds")

        return _for_spikes(rows, wires, spikes, add, start, _ROWS)

    return _over_batch(one, spikes, start)


def _to_weights(
    rows: Rows, wide: jnp.dtype, wires: Wires, spikes: Array, sums: Array, start: Array
) -> Float[Array, " weights"]:
    def one(weights: Array, both: tuple[Array, Array]) -> tuple[Array, None]:
        spikes, sums = both

        def add(several: list[Array], part: Array, weights: Array) -> Array:
            (index,) = several
            gains = sums.at[rows.reached(wires, index, part)].get(mode="promise_in_bounds")
            if spikes.dtype != bool:
                gains = gains * spikes[index]
            return rows.credit(wires, index, part, weights, gains)

        return _for_spikes(rows, wires, spikes, add, weights), None

    return lax.scan(one, start, (spikes, sums))[0]


def _to_inputs(
    rows: Rows, wide: jnp.dtype, wires: Wires, weights: Array, sums: Array, start: Array
) -> Float[Array, "batch inputs"]:
    if rows.inputs == 0 or rows.weights == 0:
        return jnp.broadcast_to(start, (len(sums), rows.inputs))

    def one(sums: Array, start: Array) -> Array:
        def value(index: Array) -> Array:
            def add(part: Array, total: Array) -> Array:
                gains = sums.at[rows.reached(wires, index, part)].get(mode="promise_in_bounds")
                values = rows.read(wires, weights, index, part, wide)
                # Where a row has ended, what is found there is of no account.
                own = rows.within(wires, index, part)
                return total + jnp.sum(values * gains, where=own)

            return lax.fori_loop(0, rows.parts(wires, index), add, jnp.zeros((), wide))

        return start + map_leading(value, jnp.arange(rows.inputs, dtype=jnp.int32))

    return _over_batch(one, sums, start)


def _over_batch(one: Callable[[Array, Array], Array], batch: Array, start: Array) -> Array:
    """A function of each entry of a batch, and of what belongs to it or to all."""
    if len(batch) == 1:
        return one(batch[0], start[0])[None]
    if len(start) == 1:
        return map_leading(lambda each: one(each, start[0]), batch)
    return map_leading(lambda both: one(*both), (batch, start))


def _for_spikes(
    rows: Rows,
    wires: Wires,
    spikes: Array,
    visit: Callable[[list[Array], Array, Array], Array],
    start: Array,
    several: int = 1,
) -> Array:
    """Go through the rows of the inputs that spike, part by part: `(indices, part, a) -> a`.

    As many as `several` at a time, if rows are stored and none has more than one part.
    """
    if rows.inputs == 0 or rows.weights == 0:
        return start
    spiking = Events.of(active(spikes))

    def row(index: Array, value: Array) -> Array:
        return lax.fori_loop(
            0, rows.parts(wires, index), lambda part, value: visit([index], part, value), value
        )

    def turn(number: Array, value: Array) -> Array:
        first = number * _RANKS
        found = spiking.find(first + jnp.arange(_RANKS, dtype=jnp.int32))
        count = jnp.minimum(spiking.number - first, _RANKS)
        done = jnp.zeros((), jnp.int32)
        if several > 1 and rows.whole and rows.stored:

            def group(i: Array, value: Array) -> Array:
                here = [found[several * i + j] for j in range(several)]
                return visit(here, jnp.zeros((), jnp.int32), value)

            value = lax.fori_loop(0, count // several, group, value)
            done = count // several * several
        return lax.fori_loop(done, count, lambda i, value: row(found[i], value), value)

    return lax.fori_loop(0, -(-spiking.number // _RANKS), turn, start)


def _to_targets_at_once(
    rows: Rows, wide: jnp.dtype, wires: Wires, weights: Array, spikes: Array, start: Array
) -> Float[Array, "batch targets"]:
    inputs, targets = rows.all(wires)

    def one(spikes: Array, start: Array) -> Array:
        values = weights.astype(wide)
        if spikes.dtype != bool:
            values = values * spikes[inputs]
        return start.at[targets].add(jnp.where(active(spikes)[inputs], values, 0))

    return _over_batch(one, spikes, start)


def _to_weights_at_once(
    rows: Rows, wide: jnp.dtype, wires: Wires, spikes: Array, sums: Array, start: Array
) -> Float[Array, " weights"]:
    inputs, targets = rows.all(wires)

    def one(weights: Array, both: tuple[Array, Array]) -> tuple[Array, None]:
        spikes, sums = both
        gains = sums[targets]
        if spikes.dtype != bool:
            gains = gains * spikes[inputs]
        return weights + jnp.where(active(spikes)[inputs], gains, 0), None

    return lax.scan(one, start, (spikes, sums))[0]


def _to_inputs_at_once(
    rows: Rows, wide: jnp.dtype, wires: Wires, weights: Array, sums: Array, start: Array
) -> Float[Array, "batch inputs"]:
    inputs, targets = rows.all(wires)

    def one(sums: Array, start: Array) -> Array:
        return start.at[inputs].add(weights.astype(wide) * sums[targets])

    return _over_batch(one, sums, start)


_EVENTS = {"targets": _to_targets, "weights": _to_weights, "inputs": _to_inputs}
_DENSE = {
    "targets": _to_targets_at_once,
    "weights": _to_weights_at_once,
    "inputs": _to_inputs_at_once,
}

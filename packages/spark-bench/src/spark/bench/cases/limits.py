"""Limits of this machine, through JAX: bandwidth, matrix products, dispatch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from ..case import Case, Counts, Program

SIZES = {"256KiB": 2**18, "8MiB": 2**23, "256MiB": 2**28}
"""Bytes of the array whose bandwidth is measured: within the caches, and far beyond them."""

TRAFFIC = 2**28
"""Bytes that a call passes over at least, so that its dispatch does not count."""

GEMM = 1024
"""Rows and columns of the matrices that are multiplied."""


def cases() -> Iterator[Case]:
    """Copy, in-place update and read of arrays; matrix products; an empty program."""
    for label, size in SIZES.items():
        times = max(1, TRAFFIC // size)
        for name, setup, moved in (("copy", _copy, 2), ("update", _update, 2), ("read", _read, 1)):
            yield _limit(
                f"{name}/{label}",
                functools.partial(setup, size // 4, times),
                Counts(bytes_moved=moved * size * times),
                bytes=size,
            )
    for dtype in ("float32", "float16", "bfloat16"):
        flop = 2 * GEMM**3
        yield _limit(f"gemm/{dtype}", functools.partial(_gemm, dtype), Counts(flop=flop), rows=GEMM)
    yield _limit("dispatch", _dispatch, Counts())


def _limit(name: str, setup: Callable[[], Program], counts: Counts, **sizes: float) -> Case:
    return Case(f"limits/{name}", setup, counts, sizes, ("limits",), group="limits", quick=True)


def _copy(elements: int, times: int) -> Program:
    """Passes from an array to another."""

    def run(arrays: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        source, target = arrays
        # A term that varies, or XLA would take the sum out of the loop.
        terms = jnp.arange(times, dtype=source.dtype)
        target, _ = jax.lax.scan(lambda _, term: (source + term, None), target, terms)
        return source, target

    return in_place(run, (jnp.ones(elements), jnp.zeros(elements)))


def _update(elements: int, times: int) -> Program:
    """Passes over an array that is overwritten."""

    def run(array: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda array, _: (array + 1, None), array, length=times)[0]

    return in_place(run, jnp.ones(elements))


def in_place(step: Callable[..., object], start: object) -> Program:
    """A step that overwrites its state, from call to call."""
    run = jax.jit(step, donate_argnums=0)
    state = [jax.tree.map(jnp.copy, start)]

    def program() -> object:
        state[0] = run(state[0])
        return state[0]

    return program


def _read(elements: int, times: int) -> Program:
    """Products of a matrix and vectors that fit into the first cache."""
    matrix, vectors = jnp.ones((elements // 1024, 1024)), jnp.ones((times, 1024))
    multiply = jax.jit(lambda matrix, vectors: jax.lax.map(lambda each: matrix @ each, vectors))
    return lambda: multiply(matrix, vectors)


def _gemm(dtype: str) -> Program:
    square = jnp.ones((GEMM, GEMM), dtype)
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(square, square)


def _dispatch() -> Program:
    x = jnp.ones(1)
    add = jax.jit(lambda x: x + 1)
    return lambda: add(x)

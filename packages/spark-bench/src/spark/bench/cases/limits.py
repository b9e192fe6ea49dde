"""Limits of this machine, through JAX: bandwidth, matrix products, dispatch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from ..case import Case, Counts, Program

SIZES = {"256KiB": 2**18, "8MiB": 2**23, "256MiB": 2**28}
"""Bytes of the array whose bandwidth is measured: within the caches, and far beyond them."""

GEMM = 1024
"""Rows and columns of the matrices that are multiplied."""


def cases() -> Iterator[Case]:
    """Copy, in-place update and read of arrays; matrix products; an empty program."""
    for label, size in SIZES.items():
        for name, setup, passes in (
            ("copy", _copy, 2),
            ("update", _update, 2),
            ("read", _read, 1),
        ):
            yield _limit(
                f"{name}/{label}",
                functools.partial(setup, size // 4),
                Counts(bytes_moved=passes * size),
                bytes=size,
            )
    for dtype in ("float32", "float16", "bfloat16"):
        flop = 2 * GEMM**3
        yield _limit(f"gemm/{dtype}", functools.partial(_gemm, dtype), Counts(flop=flop), rows=GEMM)
    yield _limit("dispatch", _dispatch, Counts())


def _limit(name: str, setup: Callable[[], Program], counts: Counts, **sizes: float) -> Case:
    return Case(f"limits/{name}", setup, counts, sizes, ("limits",), group="limits", quick=True)


def _copy(elements: int) -> Program:
    """One pass from an array to a new one."""
    x = jnp.ones(elements)
    add = jax.jit(lambda x: x + 1)
    return lambda: add(x)


def _update(elements: int) -> Program:
    """One pass over an array that is overwritten."""
    return in_place(lambda x: x + 1, jnp.ones(elements))


def in_place(step: Callable[..., object], start: object) -> Program:
    """A step that overwrites its state, from call to call."""
    run = jax.jit(step, donate_argnums=0)
    state = [jax.tree.map(jnp.copy, start)]

    def program() -> object:
        state[0] = run(state[0])
        return state[0]

    return program


def _read(elements: int) -> Program:
    """A product of a matrix and a vector that fits into the first cache."""
    matrix, vector = jnp.ones((elements // 1024, 1024)), jnp.ones(1024)
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(matrix, vector)


def _gemm(dtype: str) -> Program:
    square = jnp.ones((GEMM, GEMM), dtype)
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(square, square)


def _dispatch() -> Program:
    x = jnp.ones(1)
    add = jax.jit(lambda x: x + 1)
    return lambda: add(x)

"""Definition of a primitive: its shape, and its implementation on each platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxtyping import Array


def define(
    primitive: Primitive,
    shape: Callable[..., Any],
    run: Callable[..., Any],
    run_on_cpu: Callable[..., Any],
) -> None:
    """Define a primitive by functions of its operands and of keywords, which are static.

    Args:
        primitive: The primitive.
        shape: Shapes and dtypes of its results.
        run: Its implementation in terms of JAX.
        run_on_cpu: The same, on a CPU.
    """

    def bind(operands: tuple[Array, ...], static: tuple[tuple[str, Any], ...]) -> Any:
        return primitive.bind(*operands, **dict(static))

    compiled = jax.jit(bind, static_argnums=1)

    def evaluate(*operands: Array, **static: Any) -> Any:
        with jax.disable_jit(False):  # or this would call itself
            return compiled(operands, tuple(static.items()))

    several = primitive.multiple_results
    primitive.def_abstract_eval(shape)
    primitive.def_impl(evaluate)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=several))
    mlir.register_lowering(
        primitive, mlir.lower_fun(run_on_cpu, multiple_results=several), platform="cpu"
    )


def varying(array: Any) -> frozenset[str]:
    """The axes of a mesh along which an array differs, inside a `jax.shard_map` that looks."""
    kind = getattr(array, "manual_axis_type", None)  # jax 0.8 has `vma`
    axes: frozenset[str] = array.vma if kind is None else kind.varying
    return axes

"""`Payload`: an immutable pytree that checks its arguments, once."""

from __future__ import annotations

import abc
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey


class Payload(abc.ABC):
    """Base of the arrays that travel between modules.

    A subclass names its arrays and its static attributes; it is then a pytree. A constructor checks
    its arguments. JAX, when it puts a pytree together again, does not call it, so that a payload
    also carries non-arrays: axis numbers for `jax.vmap`, `jax.ShapeDtypeStruct`, `None`.
    """

    arrays: ClassVar[tuple[str, ...]]
    """Names of the attributes that are arrays, the children of the pytree; the first gives the
    payload its shape and dtype."""

    static: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that JAX compares and does not trace."""

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_with_keys(
            cls, cls._flatten_with_keys, cls._unflatten, cls._flatten
        )

    def _set(self, **values: Any) -> None:
        self.__dict__.update(values)

    def _flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children = tuple(getattr(self, name) for name in self.arrays)
        return children, tuple(getattr(self, name) for name in self.static)

    def _flatten_with_keys(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children, static = self._flatten()
        keys = (GetAttrKey(name) for name in self.arrays)
        return tuple(zip(keys, children, strict=True)), static

    @classmethod
    def _unflatten(cls, static: tuple[Any, ...], children: Iterable[Any]) -> Self:
        payload = object.__new__(cls)
        payload._set(
            **dict(zip(cls.arrays, children, strict=True)),
            **dict(zip(cls.static, static, strict=True)),
        )
        return payload

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the array."""
        return self._array.ndim

    @property
    def dtype(self) -> jnp.dtype:
        """Dtype of the array."""
        return self._array.dtype

    def __len__(self) -> int:
        # By the shape, which a `ShapeDtypeStruct` has too: nnx.tabulate asks for it.
        if not self.shape:
            raise TypeError(f"len() of a {type(self).__name__} without axes.")
        return int(self.shape[0])

    @abc.abstractmethod
    def __getitem__(self, index: Any) -> Self: ...

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    @property
    def _array(self) -> Any:
        return getattr(self, self.arrays[0])

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one.")


class ArrayPayload(Payload):
    """A payload that stands for one array, its `value`.

    NumPy reads `value`. `==` and `!=` compare it element by element with another such payload, an
    array or a number, and return an array of booleans, as arrays of JAX do; like these, a payload
    has no hash. `(a == b).all()` is one answer.
    """

    value: Any

    if not TYPE_CHECKING:  # to type checkers, any name would be an attribute

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            hint = f"; its value has: .value.{name}" if hasattr(jax.Array, name) else ""
            raise AttributeError(f"a {kind} has no attribute {name!r}{hint}.")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> Any:
        return self._compare(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def _compare(self, compare: Callable[[Any, Any], Any], other: object) -> Any:
        if isinstance(other, ArrayPayload):
            return compare(self.value, other.value)
        if isinstance(other, (bool, int, float, np.generic, np.ndarray, jax.Array)):
            return compare(self.value, other)
        return NotImplemented

"""`Payload`: an immutable pytree that checks what it is given, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey


class Payload:
    """Base of what travels between modules.

    A subclass names its arrays and its static attributes; it is then a pytree. A constructor checks
    its arguments. JAX, when it puts a pytree together again, does not call it, so that a payload
    also carries what is no array: axis numbers for `jax.vmap`, `jax.ShapeDtypeStruct`, `None`.
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
        return len(self._array)

    @property
    def _array(self) -> Any:
        return getattr(self, self.arrays[0])

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one.")


def as_real(name: str, value: Any) -> jax.Array:
    """An argument as a JAX array of booleans, integers or floats.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(value, Payload):
        raise TypeError(f"{name} must be an array, got {type(value).__name__}.")
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        array = jnp.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} must be an array of numbers, got {value!r}.") from error
    kinds = (jnp.bool_, jnp.integer, jnp.floating)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
        raise TypeError(f"{name} must be boolean, integer or floating, got dtype {array.dtype}.")
    return jnp.asarray(array)


def is_concrete(value: Any) -> bool:
    """Whether it is an array whose values can be read here and now."""
    if isinstance(value, jax.core.Tracer):
        return False
    if isinstance(value, jax.Array):
        return value.is_fully_addressable and not value.is_deleted()
    return isinstance(value, np.ndarray)


def describe(value: Any) -> str:
    """Dtype and shape of an array, as `bool[3, 4]`; anything else as it prints."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    return repr(value)

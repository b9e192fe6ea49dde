"""Arrays inside a configuration: read-only, compared by content, written without loss."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import mmap
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spark.core.internal import is_key, show

TAG = "$array"
"""Key that marks an array in a dictionary; no field can have this name."""


def hold(value: Any) -> Any:
    """An array as a read-only NumPy copy, a boolean as one of Python; anything else as it is.

    Raises:
        ValueError: If it is traced by a JAX transform, and so has no values to keep, or holds no
            numbers.
    """
    if isinstance(value, jax.core.Tracer):
        raise ValueError(
            "must be concrete, got a value traced by a JAX transform; build the configuration "
            "outside it, and vary the parameters of the module instead."
        )
    if is_key(value):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if not isinstance(value, (np.ndarray, jax.Array)):
        return value
    if not (value.dtype == bool or jnp.issubdtype(value.dtype, jnp.number)):
        raise ValueError(f"must hold numbers, got {show(value)}.")
    return read_only(value)


def read_only(value: Any) -> np.ndarray[Any, Any]:
    """An array in NumPy that cannot be written to, in row-major and native order.

    It is a copy, unless nobody can write to `value` already; that includes a file that is mapped
    for reading.
    """
    array = np.asarray(value)
    kept = is_frozen(array) or _is_mapped(array)
    if kept and array.flags.c_contiguous and array.dtype.isnative:
        return array
    array = np.array(array, array.dtype.newbyteorder("="), order="C")
    array.setflags(write=False)
    return array


def is_frozen(array: Any) -> bool:
    """Whether neither an array of NumPy can be written to, nor the array or bytes that own it."""
    owner = _owner(array)
    return owner is None or isinstance(owner, bytes)


def _is_mapped(array: Any) -> bool:
    """Whether an array of NumPy is a file that is mapped for reading."""
    owner = _owner(array)
    return isinstance(owner, mmap.mmap) and memoryview(owner).readonly


def _owner(array: Any) -> Any:
    """What owns the memory of an array that cannot be written to; None if it is one itself."""
    while isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.base
    return array


def digest(array: np.ndarray[Any, Any]) -> tuple[str, tuple[int, ...], bytes]:
    """The identity of an array: dtype, shape, and a digest of the bytes."""
    data: Any = array.reshape(-1).view(np.uint8)  # not copied
    content = hashlib.blake2b(data, digest_size=32).digest()
    return array.dtype.name, array.shape, content


def encode(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as a dictionary that JSON can hold."""
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {TAG: array.dtype.name, "shape": list(array.shape), "data": data}


def decode(given: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The array that `encode` wrote.

    Raises:
        ValueError: If `encode` does not write it so.
    """
    try:
        dtype = jnp.dtype(given[TAG])
        shape = tuple(given["shape"])
        data = base64.b64decode(given["data"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(
            f"must be an array as to_dict writes it, with {TAG}, shape and data, got keys "
            f"{', '.join(given)} ({error})."
        ) from None
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(
            f"must have as many bytes of data as {dtype.name} of shape {shape} takes, "
            f"got {len(data)}."
        )
    return np.frombuffer(data, dtype).reshape(shape)

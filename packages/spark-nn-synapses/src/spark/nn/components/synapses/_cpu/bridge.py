"""XLA's foreign function interface, answered by functions that numba compiles.

XLA calls a handler with the address of a call frame: a structure of C that holds the operands and
results of the call. A handler is compiled without Python: it takes no lock, so that several threads
may call it at once, and allocates no Python object.

The structures are those of `xla/ffi/api/c_api.h`; `header` looks up whether they stand as follows.
Offsets in bytes:

    call frame                              buffer                  metadata
     0  size                                 0  size                 0  size
     8  extension: size, type, next,         8  extension            8  version: size, extension,
        and metadata at 24                  16  dtype                   major at 24, minor at 28
    16  api                                 24  data                32  traits
    24  context
    72  addresses of the operands           32  rank
   112  addresses of the results            40  sizes

    api
    48  create an error: size, extension, message, kind
    64  destroy an error: size, extension, error
   136  schedule a task: size, extension, context, task, what it is called with
   144  count threads: size, extension, context, address of the number
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

INVALID_ARGUMENT = 3
"""What XLA calls the kind of the errors."""

OPERANDS, RESULTS = 72, 112

ENCODED = {
    "bool": np.uint8,
    "float16": np.uint16,
    "bfloat16": np.int16,  # signed, to be told from the other
    "float32": np.float32,
    "float64": np.float64,
    "uint16": np.uint16,
    "int32": np.uint32,  # counts and places, which are never negative
    "uint32": np.uint32,
}
"""How numba reads a dtype of JAX."""

_WORD = ir.IntType(64)


def register(name: str, handler: Callable[[int], int]) -> None:
    """Compile a handler, or read it from numba's cache, and make it a target of custom calls.

    Args:
        name: Name of the target; to be registered once.
        handler: From the address of a call frame to that of an error, or 0.
    """
    kind = types.uintp(types.uintp)
    try:
        compiled = cfunc(kind, cache=True)(handler)
    except RuntimeError:  # numba has found no folder for its cache
        compiled = cfunc(kind)(handler)
    _KEPT.append(compiled)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    jax.ffi.register_ffi_target(name, new(compiled.address, None, None), platform="cpu")


_KEPT: list[Any] = []  # XLA holds their addresses


# Memory --------------------------------------------------------------------------------------


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """The 64-bit word at an address."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()))

    return types.uintp(types.uintp), code


@intrinsic
def store(typing: Any, address: Any, word: Any) -> Any:
    """Write a 64-bit word to an address."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), code


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """An address as numba's `carray` takes it."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.uintp), code


# Call frames -----------------------------------------------------------------------------------


@njit
def _buffer(frame: int, part: int, index: int) -> Any:
    return load(load(frame + part) + 8 * index)


@njit
def length(frame: int, part: int, index: int, first: int, last: int) -> Any:
    """Product of the sizes of an operand or a result, over some of its axes.

    Args:
        frame: Address of the call frame.
        part: `OPERANDS` or `RESULTS`.
        index: Which of them.
        first: The first axis, counted from the end if negative.
        last: The first axis beyond; 0 stands for none.
    """
    buffer = _buffer(frame, part, index)
    axes, sizes = np.int64(load(buffer + 32)), load(buffer + 40)
    size = np.int64(1)
    for axis in range(first if first >= 0 else axes + first, last if last else axes):
        size *= np.int64(load(sizes + 8 * axis))
    return size


@njit
def rank(frame: int, part: int, index: int) -> Any:
    """Number of axes of an operand or a result."""
    return np.int64(load(_buffer(frame, part, index) + 32))


@njit
def array(frame: int, part: int, index: int, dtype: Any) -> Any:
    """All elements of an operand or a result, in row-major order.

    Args:
        frame: Address of the call frame.
        part: `OPERANDS` or `RESULTS`.
        index: Which of them.
        dtype: How to read it; one of `ENCODED`.
    """
    data = pointer(load(_buffer(frame, part, index) + 24))
    return carray(data, (length(frame, part, index, 0, 0),), dtype)


@njit
def copy(source: Any, result: Any) -> None:
    """Copy an operand into a result, unless XLA has put both in one place."""
    if source.ctypes.data != result.ctypes.data:
        result[:] = source


@njit
def answered(frame: int, version: tuple[int, int], revision: str) -> Any:
    """Whether XLA asks for the version of the interface, which is then answered.

    Args:
        frame: Address of the call frame.
        version: The version.
        revision: Of the code; part of what numba knows a compiled handler by.
    """
    extension = load(frame + 8)
    if extension == 0 or np.uint32(load(extension + 8)) != 1:
        return False
    major, minor = version
    store(load(extension + 24) + 24, np.uint64(major) | np.uint64(minor) << np.uint64(32))
    return True


def call_api(builder: Any, frame: Any, field: int, values: Any) -> Any:
    """Code that calls one of XLA's functions.

    Args:
        builder: Builder of the code.
        frame: Address of the call frame.
        field: Where the function stands in the API.
        values: Words of the structure that it takes, from its size and extension on.

    Returns:
        The address of an error, or 0.
    """

    def word(address: Any) -> Any:
        return builder.load(builder.inttoptr(address, _WORD.as_pointer()))

    fields = cgutils.alloca_once(builder, ir.ArrayType(_WORD, len(values)))
    for place, value in enumerate(values):
        builder.store(value, cgutils.gep_inbounds(builder, fields, 0, place))
    api = word(builder.add(frame, _WORD(16)))
    kind = ir.FunctionType(_WORD, [_WORD])
    function = builder.inttoptr(word(builder.add(api, _WORD(field))), kind.as_pointer())
    return builder.call(function, [builder.ptrtoint(fields, _WORD)])


def failure(message: str) -> Any:
    """A function that makes an error of XLA with this message: `(frame) -> address`."""

    @intrinsic
    def fail(typing: Any, frame: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            text = context.insert_const_string(builder.module, message)
            address = builder.ptrtoint(text, _WORD)
            values = _WORD(28), _WORD(0), address, _WORD(INVALID_ARGUMENT)
            return call_api(builder, args[0], 48, values)

        return types.uintp(types.uintp), code

    return fail

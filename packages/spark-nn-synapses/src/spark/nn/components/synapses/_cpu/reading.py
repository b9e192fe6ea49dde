"""How kernels read arrays: numbers of every dtype, spikes, and rows before their turn."""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic, overload

_WORD = ir.IntType(64)

_CONVERTS_HALVES = (
    get_host_cpu_features().get("f16c", False) and not config.CPU_NAME and not config.CPU_FEATURES
)
"""Whether code is compiled for a processor with an instruction from float16 to float32: those of
x86 have it since about 2012."""


def _element(context: Any, builder: Any, signature: Any, args: Any, kind: Any) -> Any:
    """Code that points at an element of an array, both of which are the arguments."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), kind)


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the element of an array to be brought into the cache; it may lie outside."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _element(context, builder, signature, args, cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(ask, [where, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@intrinsic
def word_at(typing: Any, array: Any, index: Any) -> Any:
    """Eight bytes of an array of bytes, from an index on."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _element(context, builder, signature, args, _WORD.as_pointer())
        return builder.load(where, align=1)

    return types.uint64(array, types.intp), code


@intrinsic
def trailing_zeros(typing: Any, word: Any) -> Any:
    """How many bits of a word are 0 below the lowest that is not; for words other than 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), code


@intrinsic
def float_of_bits(typing: Any, bits: Any) -> Any:
    """The float32 of 32 bits."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), code


@intrinsic
def float_of_half(typing: Any, bits: Any) -> Any:
    """The float32 of the 16 bits of a float16, by the instruction that processors have for it."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.IntType(16)])
        convert = builder.module.declare_intrinsic("llvm.convert.from.fp16.f32", (), kind)
        return builder.call(convert, args)

    return types.float32(types.uint16), code


@njit
def float_of_half_bits(bits):
    """The float32 of the 16 bits of a float16, on any processor."""
    sign = (np.uint32(bits) & np.uint32(0x8000)) << np.uint32(16)
    rest = np.uint32(bits) & np.uint32(0x7FFF)
    if rest < np.uint32(0x400):  # below the normal numbers: so many times 2^-24
        size = np.float32(rest) * np.float32(2.0**-24)
        return -size if sign else size
    # The exponent is counted from another number, by 112; and those of infinities differ.
    more = np.uint32(112 << 23 if rest < np.uint32(0x7C00) else 224 << 23)
    return float_of_bits(np.uint32(sign | ((rest << np.uint32(13)) + more)))


def number(value: Any) -> Any:
    """A value of an encoded array as a float: halves in float32, which holds them exactly."""
    raise NotImplementedError  # compiled only


@overload(number)
def _number(value: Any) -> Any:
    if value == types.int16:

        def bfloat16(value: Any) -> Any:
            return float_of_bits(np.uint32(np.uint16(value)) << np.uint32(16))

        return bfloat16
    if value == types.uint16:
        convert = float_of_half if _CONVERTS_HALVES else float_of_half_bits

        def float16(value: Any) -> Any:
            return convert(value)

        return float16

    def itself(value: Any) -> Any:
        return value

    return itself


def find_spikes(spikes: Any, first: int, count: int, found: Any) -> int:
    """Write which of `count` spikes from `first` on are there, and return how many."""
    raise NotImplementedError  # compiled only


@overload(find_spikes)
def _find_spikes(spikes: Any, first: int, count: int, found: Any) -> Any:
    if spikes.dtype == types.uint8:

        def of_booleans(spikes: Any, first: int, count: int, found: Any) -> int:
            total = 0
            whole = count - count % 8
            for i in range(0, whole, 8):
                word = word_at(spikes, first + i)
                # One bit a byte, whatever the byte of a boolean is.
                word |= word >> np.uint64(4)
                word |= word >> np.uint64(2)
                word |= word >> np.uint64(1)
                word &= np.uint64(0x0101010101010101)
                while word:
                    found[total] = i + np.int64(trailing_zeros(word) >> np.uint64(3))
                    total += 1
                    word &= word - np.uint64(1)
            for i in range(whole, count):
                if spikes[first + i]:
                    found[total] = i
                    total += 1
            return total

        return of_booleans

    def of_numbers(spikes: Any, first: int, count: int, found: Any) -> int:
        total = 0
        for i in range(count):
            if spikes[first + i] != 0:
                found[total] = i
                total += 1
        return total

    return of_numbers


@njit
def count_spikes(spikes: Any) -> int:
    """How many spikes there are."""
    total = 0
    for spike in spikes:
        total += spike != 0
    return total


@njit
def find_all_spikes(spikes: Any, inputs: int, batch: int) -> Any:
    """Which inputs spike, entry by entry of a batch, and where the entries begin and end there."""
    found, ends = np.empty(batch * inputs, np.int32), np.zeros(batch + 1, np.int64)
    for b in range(batch):
        ends[b + 1] = ends[b] + find_spikes(spikes, b * inputs, inputs, found[ends[b] :])
    return found[: ends[batch]], ends


def size_of(spike: Any) -> Any:
    """What a spike counts: a boolean 1, whatever its byte is."""
    raise NotImplementedError  # compiled only


@overload(size_of)
def _size_of(spike: Any) -> Any:
    if spike == types.uint8:

        def of_boolean(spike: Any) -> Any:
            return np.uint8(1) if spike else np.uint8(0)

        return of_boolean

    def of_number(spike: Any) -> Any:
        return spike

    return of_number

"""Large steps in parts: one on the thread that XLA calls, others on threads of XLA's own pool.

A pool whose threads all wait for each other would stand still for good. So a part belongs to
whichever thread claims it first: the caller takes parts until none is left, and then waits only for
those that other threads have begun. A task of the pool that comes too late finds nothing to do.

What the threads share is a slot of eight words. It belongs to a call until all of its tasks have
run, however late; a call that finds every slot taken does all parts itself.
"""

# mypy: ignore-errors
# Compiled by numba, which infers types of its own.

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .bridge import call_api, load, store

_WORD = ir.IntType(64)

_SLOTS = 16  # calls that may be shared at once, on all devices of a process

_MOST = 16  # parts of a call: more hardly pay, as each looks for its own part of each row

_HOLDERS, _NEXT, _PARTS, _DONE, _FAILED, _OPERANDS = range(0, 48, 8)
"""Words of a slot: how many may still look at it, the first part that is not claimed, how many
there are, how many are done, whether one has failed, and where the operands are."""


# Words that several threads write ---------------------------------------------------------------


@intrinsic
def _add(typing: Any, address: Any, number: Any) -> Any:
    """Add to a word, and return what it was before."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.inttoptr(args[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", word, args[1], "seq_cst")

    return types.intp(types.uintp, types.intp), code


@intrinsic
def _read(typing: Any, address: Any) -> Any:
    """A word, after which everything is seen that was written before it."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.inttoptr(args[0], _WORD.as_pointer())
        return builder.load_atomic(word, "seq_cst", 8)

    return types.intp(types.uintp), code


@intrinsic
def _take(typing: Any, address: Any, number: Any) -> Any:
    """Write a word that is 0, and return whether it was."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.inttoptr(args[0], _WORD.as_pointer())
        both = builder.cmpxchg(word, _WORD(0), args[1], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(both, 1), ir.IntType(8))

    return types.uint8(types.uintp, types.intp), code


@intrinsic
def _pause(typing: Any) -> Any:
    """Leave the processor to its other thread, for a moment."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            pause = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause")
            builder.call(pause, [])
        return context.get_dummy_value()

    return types.void(), code


# XLA's pool ---------------------------------------------------------------------------------------


def _of_pool(field: int) -> Callable[..., Any]:
    """A function of XLA's pool: `(frame, first, second) -> whether it did as asked`."""

    @intrinsic
    def ask(typing: Any, frame: Any, first: Any, second: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.inttoptr(builder.add(args[0], _WORD(24)), _WORD.as_pointer())
            values = _WORD(40), _WORD(0), builder.load(place), args[1], args[2]
            error = call_api(builder, args[0], field, values)
            failed = builder.icmp_unsigned("!=", error, _WORD(0))
            with builder.if_then(failed, likely=False):
                call_api(builder, args[0], 64, (_WORD(24), _WORD(0), error))
            return builder.not_(failed)

        return types.boolean(types.uintp, types.uintp, types.uintp), code

    return ask


_schedule = _of_pool(136)
_count_threads = _of_pool(144)


# Slots and tasks ----------------------------------------------------------------------------------


@intrinsic
def _slots(typing: Any) -> Any:
    """Where the slots of a handler are."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name, kind = "spark_synapses_slots", ir.ArrayType(_WORD, 8 * _SLOTS)
        found = builder.module.globals.get(name)
        if found is None:
            found = ir.GlobalVariable(builder.module, kind, name)
            found.linkage, found.align, found.initializer = "internal", 64, kind(None)
        return builder.ptrtoint(found, _WORD)

    return types.intp(), code


@intrinsic
def _kind(typing: Any, operands: Any) -> Any:
    """The kind of operands, which is known without them."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return types.TypeRef(operands)(operands), code


@intrinsic
def _at(typing: Any, address: Any, kind: Any) -> Any:
    """The operands at an address, of a kind."""
    operands = kind.instance_type

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = context.get_value_type(operands)
        found = builder.load(builder.inttoptr(args[0], value.as_pointer()))
        if context.enable_nrt:
            context.nrt.incref(builder, operands, found)
        return found

    return operands(types.intp, kind), code


@intrinsic
def _place(typing: Any, operands: Any) -> Any:
    """The address of a copy of operands, which lasts as long as the call."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = cgutils.alloca_once_value(builder, args[0])
        return builder.ptrtoint(place, _WORD)

    return types.intp(operands), code


def in_parts(work: Callable[..., None]) -> Callable[..., Any]:
    """A function that does work in parts, on several threads: `(frame, parts, operands)`.

    Args:
        work: `(part, parts, operands)`, where parts write different places.

    Returns:
        A function that returns when all parts are done. It takes the address of the call frame, the
        number of parts and a tuple of operands.
    """

    @njit
    def take(slot: int, kind: Any) -> None:
        parts = _read(slot + _PARTS)
        part = _add(slot + _NEXT, 1)
        while part < parts:
            try:
                work(part, parts, _at(load(slot + _OPERANDS), kind))
            except Exception:
                store(slot + _FAILED, 1)
            _add(slot + _DONE, 1)
            part = _add(slot + _NEXT, 1)
        _add(slot + _HOLDERS, -1)

    @intrinsic
    def task(typing: Any, kind: Any) -> Any:
        """The address of a function that XLA's pool calls with that of a slot."""
        kinds = types.intp, kind
        take.compile(kinds)
        compiled = take.overloads[kinds]

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            context.add_linking_libs([compiled.library])
            called = context.declare_function(builder.module, compiled.fndesc)
            shape = ir.FunctionType(ir.VoidType(), [_WORD])
            function = ir.Function(builder.module, shape, f"task_{called.name}")
            function.linkage = "internal"
            inner = ir.IRBuilder(function.append_basic_block())
            given = [function.args[0], context.get_dummy_value()]
            context.call_conv.call_function(inner, called, types.none, kinds, given)
            inner.ret_void()
            return builder.ptrtoint(function, _WORD)

        return types.uintp(kind), code

    @njit
    def run(frame: int, parts: int, operands: Any) -> None:
        slot, last = _slots(), _slots() + 64 * _SLOTS
        while slot < last and (parts == 1 or not _take(slot + _HOLDERS, parts + 1)):
            slot += 64
        shared = slot < last
        if not shared:
            slot = _place((0, 0, 0, 0, 0, 0))
        store(slot + _NEXT, 0)
        store(slot + _PARTS, parts)
        store(slot + _DONE, 0)
        store(slot + _FAILED, 0)
        store(slot + _OPERANDS, _place(operands))
        kind = _kind(operands)
        for _ in range(1, parts if shared else 1):
            if not _schedule(frame, task(kind), slot):
                _add(slot + _HOLDERS, -1)
        take(slot, kind)
        while _read(slot + _DONE) < parts:
            _pause()
        failed = load(slot + _FAILED)
        _add(slot + _HOLDERS, -1)
        if failed:
            raise IndexError("a part of a step has failed")

    return run


@njit
def how_many_parts(frame: int, work: int, grain: int) -> Any:
    """In how many parts to do some work: as many as XLA's pool has threads, if each has enough.

    Args:
        frame: Address of the call frame.
        work: How much there is.
        grain: What is worth another thread.
    """
    if work < 2 * grain:
        return np.int64(1)
    place = _place(np.int64(1))
    if not _count_threads(frame, place, 0):
        return np.int64(1)
    return min(np.int64(_read(place)), work // grain, _MOST)

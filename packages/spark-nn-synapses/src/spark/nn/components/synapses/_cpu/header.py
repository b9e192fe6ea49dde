"""The header of XLA's foreign function interface, as this jaxlib ships it: where fields stand.

The interface changes in small ways from one jaxlib to the next. What matters to us is where the
fields stand that we read and write; it is looked up before anything is compiled.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import jax
from jaxlib.version import __version__

OFFSETS: Mapping[str, int] = {
    "XLA_FFI_CallFrame.extension_start": 8,
    "XLA_FFI_CallFrame.api": 16,
    "XLA_FFI_CallFrame.ctx": 24,
    "XLA_FFI_CallFrame.args": 40,
    "XLA_FFI_Args.args": 32,
    "XLA_FFI_CallFrame.rets": 80,
    "XLA_FFI_Rets.rets": 32,
    "XLA_FFI_Buffer.data": 24,
    "XLA_FFI_Buffer.rank": 32,
    "XLA_FFI_Buffer.dims": 40,
    "XLA_FFI_Metadata_Extension.metadata": 24,
    "XLA_FFI_Metadata.api_version": 8,
    "XLA_FFI_Api_Version.major_version": 16,
    "XLA_FFI_Api_Version.minor_version": 20,
    "XLA_FFI_Api.XLA_FFI_Error_Create": 48,
    "XLA_FFI_Api.XLA_FFI_Error_Destroy": 64,
    "XLA_FFI_Api.XLA_FFI_ThreadPool_Schedule": 136,
    "XLA_FFI_Api.XLA_FFI_ThreadPool_NumThreads": 144,
    "XLA_FFI_Error_Create_Args.message": 16,
    "XLA_FFI_Error_Create_Args.errc": 24,
    "XLA_FFI_Error_Destroy_Args.error": 16,
    "XLA_FFI_ThreadPool_Schedule_Args.ctx": 16,
    "XLA_FFI_ThreadPool_Schedule_Args.task": 24,
    "XLA_FFI_ThreadPool_Schedule_Args.data": 32,
    "XLA_FFI_ThreadPool_NumThreads_Args.ctx": 16,
    "XLA_FFI_ThreadPool_NumThreads_Args.num_threads": 24,
}
"""Where the fields stand that a handler touches, in bytes."""

VALUES = ("XLA_FFI_Extension_Metadata = 1", "XLA_FFI_Error_Code_INVALID_ARGUMENT = 3")
"""What it compares with, or passes on."""

_SIZES = {"size_t": 8, "int64_t": 8, "int": 4, "int32_t": 4, "uint32_t": 4}


class InterfaceError(RuntimeError):
    """The interface of this jaxlib is another one."""


@functools.cache
def version() -> tuple[int, int]:
    """Version of the interface of this jaxlib, as `read` finds it."""
    return read(Path(jax.ffi.include_dir()))


def read(folder: Path) -> tuple[int, int]:
    """Version of an interface, if its structures are as they are known.

    Args:
        folder: The folder of jaxlib's headers.

    Raises:
        InterfaceError: If they are not; the message says what differs.
    """
    header = folder / "xla" / "ffi" / "api" / "c_api.h"
    try:
        text = header.read_text()
    except OSError as error:
        raise InterfaceError(f"jaxlib {__version__} has no {header.name}: {error}") from None
    found = re.findall(r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)", text)
    if len(found) != 2:
        raise _different("its version")
    for name, offset in OFFSETS.items():
        struct, field = name.split(".")
        if layout(text, struct).get(field) != offset:
            raise _different(name)
    for value in VALUES:
        if value not in text:
            raise _different(value)
    return int(found[0]), int(found[1])


def layout(header: str, struct: str) -> dict[str, int]:
    """Offset of each field of a structure, and its size under the name `""`, as C lays them out.

    Args:
        header: Text of the header.
        struct: Name of the structure.
    """
    body = re.search(rf"struct {struct} {{(.*?)\n}}", header, re.DOTALL)
    offsets, end, widest = {}, 0, 1
    lines = re.sub(r"//.*", "", body[1]).split(";") if body else []
    for line in filter(None, map(str.strip, lines)):
        size, align, name = _field(header, line)
        end = -(-end // align) * align
        offsets[name] = end
        end, widest = end + size, max(widest, align)
    return offsets | {"": -(-end // widest) * widest}


def _field(header: str, line: str) -> tuple[int, int, str]:
    """Size, alignment and name of a field."""
    if pointer := re.match(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", line):
        return 8, 8, pointer[1]
    kind, name = re.match(r"(.*?)(\w+)$", line, re.DOTALL).groups()  # type: ignore[union-attr]
    kind = kind.replace("const", "").replace("struct", "").strip()
    if kind.endswith("*"):
        return 8, 8, name
    alias = re.search(rf"typedef (\w+) {kind};", header)
    size = _SIZES.get(alias[1] if alias else kind)
    if size is not None:
        return size, size, name
    if f"struct {kind} {{" not in header:  # an enumeration
        return 4, 4, name
    return layout(header, kind)[""], 8, name


def _different(what: str) -> InterfaceError:
    return InterfaceError(
        f"jaxlib {__version__} has another foreign function interface than is known: {what}"
    )

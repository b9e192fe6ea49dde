"""Arrays that a module lays out by devices: saved as they are, read into any layout.

Such a module has three attributes. `layout` says how its arrays are laid out, in terms of JSON;
None stands for whole. `described_arrays` are the dtype and shape of each, by name, as if they were
whole; None for one that there would not be. `relaid(arrays, layout)` takes arrays on the host that
were saved in another layout, or with other shapes, and gives them in its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

_KEYS = re.compile(r"\['(.*?)'\]|\[(\d+)\]")
"""A key of a dictionary in the name of an array: a string, or the index in a list."""


def laid_out(module: nnx.Module) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Path and module of each that lays out its arrays."""
    for path, node in nnx.iter_graph(module):
        if isinstance(node, nnx.Module) and hasattr(node, "relaid"):
            yield tuple(path), node


def layouts(module: nnx.Module, arrays: Any) -> dict[str, Any]:
    """Layout, shapes and dtypes of all such modules, as a checkpoint keeps them."""
    found = {}
    for path, node in laid_out(module):
        own = _at(arrays, path)
        if own is not None:
            found[_name(path)] = {"layout": node.layout, "arrays": _kinds(own)}
    return found


def as_saved(module: nnx.Module, arrays: Any, saved: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """What to read a checkpoint into, and the paths of what is then to be laid out anew.

    Args:
        module: The module.
        arrays: Its arrays by name.
        saved: The `layouts` of the checkpoint.

    Returns:
        The arrays, and in place of those that were saved otherwise empty ones on the host; and the
        paths of the modules of these.
    """
    other = []
    for path, node in laid_out(module):
        own, there = _at(arrays, path), saved.get(_name(path))
        if own is None or there is None:
            continue
        kinds = _kinds(own)
        if (there["layout"], there["arrays"]) != (node.layout, kinds):
            arrays = _replaced(arrays, path, _empty(there["arrays"]))
            other.append((path, node))
    return arrays, other


def in_layout(found: Any, arrays: Any, other: list[Any], saved: Mapping[str, Any]) -> Any:
    """Arrays that were read, laid out as the module has them, and put where it has them."""
    for path, node in other:
        layout = saved[_name(path)]["layout"]
        relaid = node.relaid(_at(found, path), layout)
        found = _replaced(found, path, jax.tree.map(_put, _at(arrays, path), relaid))
    return found


def _put(present: Any, value: Any) -> Any:
    if not isinstance(present, jax.Array):
        return value
    whole = np.asarray(value)
    return jax.make_array_from_callback(whole.shape, present.sharding, lambda part: whole[part])


def _kinds(arrays: Any) -> dict[str, list[Any]]:
    return {
        jax.tree_util.keystr(path): [list(np.shape(value)), str(_dtype(value))]
        for path, value in jax.tree.leaves_with_path(arrays)
    }


def _dtype(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _empty(kinds: Mapping[str, Any]) -> dict[Any, Any]:
    """Arrays on the host of some shapes and dtypes, by the keys in the names of `_kinds`."""
    found: dict[Any, Any] = {}
    for name, kind in kinds.items():
        keys = [int(index) if index else key for key, index in _KEYS.findall(name)]
        found = _replaced(found, tuple(keys), np.empty(*kind))
    return found


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _at(arrays: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        if not isinstance(arrays, Mapping) or key not in arrays:
            return None  # a module that is elsewhere too, where its arrays are
        arrays = arrays[key]
    return arrays


def _replaced(arrays: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    return {**arrays, path[0]: _replaced(arrays.get(path[0], {}), path[1:], part)}

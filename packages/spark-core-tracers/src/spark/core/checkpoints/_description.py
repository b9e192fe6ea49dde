"""The description of a module that is kept beside its arrays, so that only a fit is restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ._layout import laid_out

_OPTIONS = ("shape", "dt", "dtype", "rounding", "integrator", "units", "async_spikes", "batch")
"""Attributes of a module or its configuration that two runs must share."""


def describe(module: nnx.Module) -> dict[str, str]:
    """Classes, options, shapes and dtypes of a module and of those in it.

    A module names its static attributes that two runs must share in `described`, a mapping of each
    to the prefix of its fields; an attribute is a dataclass or a mapping. By default that is its
    `recurrence`.
    """
    about: dict[str, str | None] = {}
    for path, node in nnx.iter_graph(module):
        name = ".".join(map(str, path))
        if isinstance(node, nnx.Variable):
            value = node.get_raw_value()
            if isinstance(value, (jax.Array, np.ndarray)):
                about[name or "value"] = f"{value.dtype}{list(value.shape)}"
        elif isinstance(node, nnx.Module):
            about[f"{name}.class".strip(".")] = type(node).__qualname__
            about |= {f"{name}.{key}".strip("."): text for key, text in _options(node).items()}
    for path, laid in laid_out(module):
        name = ".".join(map(str, path))
        about |= {f"{name}.{key}".strip("."): text for key, text in laid.described_arrays.items()}
    return {name: text for name, text in about.items() if text is not None}


def differences(module: Mapping[str, str], checkpoint: Mapping[str, str]) -> list[str]:
    """Where two descriptions differ, a sentence each."""
    found = []
    for name in dict.fromkeys([*module, *checkpoint]):
        ours, theirs = module.get(name, "missing"), checkpoint.get(name, "missing")
        if ours != theirs:
            found.append(f"{name}: {ours} in this module, {theirs} in the checkpoint")
    return found


def _options(module: nnx.Module) -> dict[str, str]:
    """The static values of a module that shape its numbers."""
    about: dict[str, str] = {}
    for name, prefix in getattr(module, "described", {"recurrence": ""}).items():
        about |= _texts(_fields(getattr(module, name, None)), prefix)
    for source in (module, getattr(module, "config", None)):
        for option in _OPTIONS:
            value = getattr(source, option, None)
            if value is not None and not isinstance(value, nnx.Variable):
                about[option] = _text(value)
    return about


def _texts(static: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Values as texts; a dataclass by its name and those of its fields."""
    about: dict[str, str] = {}
    for key, value in static.items():
        name = f"{prefix}{key}"
        if dataclasses.is_dataclass(value):
            about[name] = type(value).__qualname__
            about |= _texts(_fields(value), f"{name}.")
        elif value is not None:
            about[name] = _text(value)
    return about


def _fields(static: Any) -> Mapping[str, Any]:
    """The fields of a dataclass by name, or a mapping as it is; none of another value."""
    if isinstance(static, Mapping):
        return static
    if not dataclasses.is_dataclass(static):
        return {}
    return {field.name: getattr(static, field.name) for field in dataclasses.fields(static)}


def _text(value: Any) -> str:
    return str(jnp.dtype(value)) if hasattr(value, "itemsize") else str(value)

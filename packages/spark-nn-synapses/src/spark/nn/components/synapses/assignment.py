"""Assignment to attributes of synapses: checked, or refused with the remedy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from spark.core.internal import as_parameter, require_base
from spark.core.tracers import BaseTracer

from .kernel import as_kernel

_LAID_OUT = (
    "groups",
    "wires",
    "gains",
    "pathway",
    "batch",
    "current_tracer",
    "release_tracer",
    "spikes_on_way",
    "drive_on_way",
    "weights",
    "base",
)
"""Attributes that only `build` sets; the last two can be replaced where they are variables."""


def require_assignable(module: Any, name: str, value: Any) -> None:
    """Refuse what is fixed by the configuration or made by `build`.

    Raises:
        AttributeError: If it is; the message says what to do instead.
    """
    kind, present = type(module).__name__, vars(module).get(name)
    if name in ("weights", "base") and isinstance(present, nnx.Variable):
        return
    if name in ("config", "rngs"):
        raise AttributeError(f"{name} of a {kind} is fixed when it is made: make a new one.")
    if name in type(module.config).model_fields:
        variable = _variable(module, name)
        raise AttributeError(
            f"{name} of a {kind} is fixed by its configuration: make a new one with "
            f"config.replace({name}=...)" + (f", or set {variable}." if variable else ".")
        )
    if name in _LAID_OUT and not _is_alike(present, value):
        instead = "set the kernel instead" if name == "weights" else "make and build a new module"
        raise AttributeError(f"{name} of a {kind} is made by build: {instead}.")


def checked_value(module: Any, name: str, value: Any) -> Array | None:
    """The value for `weights` or `base`, after the checks of `build`; None for another name."""
    given = value.get_value() if isinstance(value, nnx.Variable) else value
    if name == "weights":
        present = module.weights.get_value()
        return jnp.asarray(
            as_kernel(name, given, present.shape, present.dtype, "(inputs, targets)")
        )
    if name == "base":
        drive = module.pathway.drive
        checked = as_parameter(name, given, drive.units, drive.dtype)
        require_base(checked, module.pathway.recurrence.range(drive.dtype), drive.dtype)
        return jnp.asarray(checked.kept)
    return None


def _variable(module: Any, name: str) -> str | None:
    """The variable that holds what a field of the configuration gave at first, if there is one."""
    if name in module.gains:
        return f"gains[{name!r}][...]"
    for owner in ("current_tracer", "release_tracer"):
        tracer = getattr(module, owner)
        if tracer is not None and name in tracer.recurrence.parameters._fields:
            # That of the last stage is added to the sum of the traces.
            is_added = module.base is not None and name in tracer.recurrence.bases[-1:]
            return "base" if is_added else f"{owner}.{name}"
    return None


def _is_alike(present: Any, value: Any) -> bool:
    """Whether a tracer can stand for another, as after `nnx.recursive_map`."""

    def static(tracer: BaseTracer) -> Any:
        return tracer.recurrence, tracer.shape, tracer.dtype, tracer.rounding

    both = isinstance(present, BaseTracer) and isinstance(value, BaseTracer)
    return both and static(present) == static(value)

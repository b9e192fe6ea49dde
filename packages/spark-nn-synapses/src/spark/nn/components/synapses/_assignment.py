"""Assignment to attributes of synapses: refused, with the remedy."""

from __future__ import annotations

from typing import Any

from spark.core.tracers import BaseTracer

_BUILT = (
    "chain",
    "batch",
    "matrix",
    "delay_line",
    "total",
    "current_tracer",
    "release_tracer",
    "weights",
)
"""Attributes that only `build` sets."""


def require_assignable(module: Any, name: str, value: Any) -> None:
    """Refuse an attribute that the configuration fixes or `build` makes.

    Raises:
        AttributeError: If it is such an attribute; the message gives the remedy.
    """
    kind = type(module).__name__
    if name in ("config", "rngs"):
        raise AttributeError(f"{name} of a {kind} is fixed when it is made: make a new one.")
    if name in type(module.config).model_fields:
        variable = _variable(module, name)
        raise AttributeError(
            f"{name} of a {kind} is fixed by its configuration: make a new one with "
            f"config.replace({name}=...)" + (f", or set {variable}." if variable else ".")
        )
    if name in _BUILT and not _is_alike(vars(module).get(name), value):
        instead = "set the kernel instead" if name == "weights" else "make and build a new module"
        raise AttributeError(f"{name} of a {kind} is made by build: {instead}.")


def _variable(module: Any, name: str) -> str | None:
    """The variable that a field of the configuration has initialized, if there is one."""
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

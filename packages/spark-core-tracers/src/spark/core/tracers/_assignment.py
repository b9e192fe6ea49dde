"""`CheckedModule`: a Flax module that checks values assigned to its attributes."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx
from jaxtyping import Array


class CheckedModule(nnx.Module):
    """A module whose own attributes are checked or refused when they are assigned again.

    A value assigned to one of its variables is checked as by the constructor, and becomes the value
    of the variable; another `nnx.Variable` takes its place, after the same checks. Other attributes
    of the module are fixed when it is made. Attributes that a user adds are the user's: they are
    assigned as to any `nnx.Module`.

    Flax does not come this way when it splits, merges, clones or updates a module.
    """

    def _require_assignable(self, name: str, value: Any) -> None:
        """Refuse an attribute that is fixed, with an error that says what to do instead."""

    def _checked_value(self, name: str, value: Any) -> Array | None:
        """The value for a variable, after the checks of the constructor; None: not one of ours."""

    def _replace(self, **attributes: Any) -> None:
        """Assign without checks: for the methods of the module itself."""
        for name, value in attributes.items():
            super().__setattr__(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        attribute = getattr(type(self), name, None)
        if isinstance(attribute, property):
            if attribute.fset is None:
                raise AttributeError(
                    f"{name} of a {type(self).__name__} is computed: set what it is computed from."
                )
            object.__setattr__(self, name, value)  # Flax would list it as a new attribute
            return
        self._require_assignable(name, value)
        present = vars(self).get(name)
        if (
            not isinstance(present, nnx.Variable)
            or (checked := self._checked_value(name, value)) is None
        ):
            super().__setattr__(name, value)
        elif isinstance(value, nnx.Variable):
            held = value.get_raw_value()
            if not isinstance(held, jax.Array) or (held.shape, held.dtype) != (
                checked.shape,
                checked.dtype,
            ):
                value.set_value(checked)
            super().__setattr__(name, value)
        else:
            present.set_value(_placed(checked, present.get_value()))


def _placed(value: Array, present: Any) -> Array:
    """A value sharded as the one that it replaces."""
    if isinstance(value, jax.core.Tracer) or isinstance(present, jax.core.Tracer):
        return value
    if not isinstance(present, jax.Array) or value.shape != present.shape:
        return value
    return jax.device_put(value, present.sharding) if len(present.devices()) > 1 else value

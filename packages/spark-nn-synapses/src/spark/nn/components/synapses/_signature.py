"""The signature of the constructor of synapses, as `help` and notebooks show it."""

from __future__ import annotations

import inspect
from typing import Any

from spark.nn.configs import Config


class ConstructorSignature:
    """Describes a class by the fields of its configuration; an instance has no such attribute.

    So a call of an instance does not show the parameters of the constructor.
    """

    def __get__(self, instance: Any, owner: type[Any]) -> inspect.Signature:
        """The parameters of the constructor, with the types of fields as the sources name them."""
        config = getattr(owner, "config_class", None)
        if instance is not None or config is None:
            raise AttributeError("__signature__")
        parameters = inspect.signature(owner.__init__).parameters.values()
        _, *ours = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        return inspect.Signature([*ours, *_fields(config)])


def _fields(config: type[Config]) -> list[inspect.Parameter]:
    types: dict[str, Any] = {}
    for each in reversed(config.__mro__):
        types |= inspect.get_annotations(each)
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else field.get_default(),
            annotation=types[name],
        )
        for name, field in config.model_fields.items()
    ]

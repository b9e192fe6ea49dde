"""`Config`: keyword-only, typed, frozen, compared by content, written to files without loss."""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from spark.core.internal import show

from . import arrays
from .errors import ConfigError


class Config(BaseModel):
    """Base of every configuration.

    A subclass declares its fields with types and defaults; fields hold immutable values, tuples
    rather than lists. They are checked, without conversion from one type to another, unless the
    type says otherwise (`Units`, `Parameter`, ...). An array of NumPy or JAX is kept as a read-only
    NumPy copy, or as it is if nobody can write to it; annotate its field with `np.ndarray` or
    `Parameter`.

    Two configurations of one class with the same content, arrays included, are equal and hash
    alike, so that one can be a static attribute of a module under `nnx.jit`.

    Raises:
        ConfigError: A `ValueError`. If a field is unknown, missing or wrong; the message names the
            field, its value and the remedy.

    Example:
        >>> from spark.nn.configs import Config, TimeConstant, Units
        >>> class LeakConfig(Config):
        ...     units: Units
        ...     tau: TimeConstant = 20.0
        >>> config = LeakConfig(units=3, tau=10)
        >>> config
        LeakConfig(units=(3,), tau=10.0)
        >>> LeakConfig.from_dict(config.to_dict()) == config
        True
        >>> config.replace(tau=-1)
        Traceback (most recent call last):
            ...
        spark.nn.configs.errors.ConfigError: LeakConfig: tau must be > 0, got -1.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        ignored_types=(functools.cached_property,),
    )

    synonyms: ClassVar[Mapping[str, str]] = {}
    """Names of other libraries for a field, which an error answers with the name here."""

    def __new__(cls, *given: Any, **values: Any) -> Self:
        """Refuse values without a name; `__init__` reads the others."""
        if given:
            known = cls.model_fields
            names = [name for name in known if known[name].is_required()] or list(known)
            shown = ", ".join(
                f"{name}={show(value)}" for name, value in zip(names, given, strict=False)
            )
            raise TypeError(f"{cls.__name__} takes its fields by name, as in {shown}.")
        return super().__new__(cls)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError.read(type(self), error) from None

    @field_validator("*", mode="before")
    @classmethod
    def _hold_arrays(cls, value: Any) -> Any:
        return arrays.hold(value)

    def replace(self, /, **changes: Any) -> Self:
        """A copy with some fields changed, checked as a whole.

        Raises:
            ConfigError: If a change is wrong.
        """
        return type(self)(**{**dict(self), **changes})

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold; `from_dict` reads it.

        Raises:
            ConfigError: If a field cannot be written, such as a function.
        """
        try:
            return {name: _encode(name, value) for name, value in self}
        except ConfigError as error:
            raise ConfigError(type(self).__name__, error.problems) from None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` wrote, or that was written by hand.

        Args:
            fields: Values by name; a list stands for a tuple.

        Raises:
            ConfigError: If a field is unknown, missing or wrong.
        """
        if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
            raise ConfigError(cls.__name__, [f"fields must be given by name, got {show(fields)}."])
        try:
            values = {name: _decode(name, value) for name, value in fields.items()}
        except ConfigError as error:
            raise ConfigError(cls.__name__, error.problems) from None
        return cls(**values)

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the fields as JSON; a file that was there is replaced in one go.

        Args:
            path: Where to write.

        Raises:
            ConfigError: If a field cannot be written; nothing is written then.
            OSError: If the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2) + "\n"
        path = Path(path)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `to_file` wrote.

        Args:
            path: Where to read.

        Raises:
            ConfigError: If it is no JSON, or a field is unknown, missing or wrong.
            OSError: If the file cannot be read.
        """
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(cls.__name__, [f"{os.fspath(path)} is no JSON: {error}."]) from None
        return cls.from_dict(fields)

    @functools.cached_property
    def _content(self) -> tuple[Any, ...]:
        return tuple((name, _content(value)) for name, value in self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(other) is type(self) and self._content == other._content

    def __hash__(self) -> int:
        return hash((type(self), self._content))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__} cannot be changed; replace({name}=...) makes a new one."
        )

    # Immutable, so never copied; pickled fields are checked again, and their arrays frozen.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _build, (type(self), dict(self))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As `replace`, with the checks that pydantic would skip.

        Args:
            update: Fields to change.
            deep: Without effect; a configuration cannot change.
        """
        return self.replace(**(update or {}))


def _build(cls: type[Config], values: dict[str, Any]) -> Config:
    return cls(**values)


def _content(value: Any) -> Any:
    """Something hashable that is equal where two values of a field are."""
    if isinstance(value, np.ndarray):
        return arrays.digest(value)
    if isinstance(value, tuple):
        return tuple(_content(each) for each in value)
    if isinstance(value, Config) or not callable(value):
        return value
    # Two functions are the same if they are one.
    return id(value)


def _encode(path: str, value: Any) -> Any:
    """A value of a field as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return [_encode(f"{path}[{i}]", each) for i, each in enumerate(value)]
    if isinstance(value, Config):
        try:
            return value.to_dict()
        except ConfigError as error:
            raise ConfigError("", [f"{path}.{problem}" for problem in error.problems]) from None
    if isinstance(value, np.ndarray):
        return arrays.encode(value)
    what = "a function" if callable(value) else "an object"
    raise ConfigError("", [f"{path} holds {what}, {show(value)}, which cannot be written."])


def _decode(path: str, value: Any) -> Any:
    """The inverse of `_encode`."""
    if isinstance(value, list):
        return tuple(_decode(f"{path}[{i}]", each) for i, each in enumerate(value))
    if isinstance(value, Mapping):
        if arrays.TAG not in value:
            return {name: _decode(f"{path}.{name}", each) for name, each in value.items()}
        try:
            return arrays.decode(value)
        except ValueError as error:
            raise ConfigError("", [f"{path} {error}"]) from None
    return value

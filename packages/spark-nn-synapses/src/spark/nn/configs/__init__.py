"""Frozen, validated configurations that hold arrays and can be written to a file."""

from .config import Config
from .errors import ConfigError
from .fields import DelayTimes, Dtype, Names, Parameter, Seed, TimeConstant, TimeStep, Units

__all__ = [
    "Config",
    "ConfigError",
    "Units",
    "Parameter",
    "TimeConstant",
    "DelayTimes",
    "TimeStep",
    "Dtype",
    "Seed",
    "Names",
]

"""Payloads that travel between modules: spikes and currents."""

from .payload import Payload
from .spikes import SpikeArray
from .values import CurrentArray, FloatArray

__all__ = ["Payload", "SpikeArray", "CurrentArray", "FloatArray"]

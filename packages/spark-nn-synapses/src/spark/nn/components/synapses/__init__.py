"""Synapses that turn spikes into currents, on JAX and Flax NNX."""

from .__about__ import __version__

__all__ = ["__version__"]

"""Checkpoints of modules: saved whole or not at all, and restored only where they fit."""

from .checkpoints import CheckpointError, restore, save

__all__ = ["save", "restore", "CheckpointError"]

"""Checkpoints of modules: saved whole or not at all, and restored only where they fit."""

from .checkpoints import restore, save
from .errors import CheckpointError

__all__ = ["save", "restore", "CheckpointError"]

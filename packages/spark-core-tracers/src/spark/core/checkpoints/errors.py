"""`CheckpointError`: raised wherever a checkpoint is refused."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another module, or that cannot be saved.

    Attributes:
        differences: Differences between module and checkpoint, one sentence each.
    """

    def __init__(self, message: str, differences: list[str] | None = None) -> None:
        self.differences = differences or []
        super().__init__("\n- ".join([message, *self.differences]))

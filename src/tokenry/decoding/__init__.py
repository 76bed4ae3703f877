"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

__all__: list[str] = []

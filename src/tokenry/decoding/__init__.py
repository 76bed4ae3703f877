"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

from tokenry.decoding.byte_exact import ByteExact

__all__ = ["ByteExact"]

"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

from tokenry.decoding.aggressive_decoding import AggressiveDecoding
from tokenry.decoding.gad import GAD

__all__ = ["GAD", "AggressiveDecoding"]

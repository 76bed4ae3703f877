"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

from tokenry.decoding.icn import ICN
from tokenry.decoding.octopus import Octopus

__all__ = ["ICN", "Octopus"]

"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

from tokenry.decoding.aggressive_decoding import AggressiveDecoding
from tokenry.decoding.byte_exact import ByteExact
from tokenry.decoding.dyspec import DySpec
from tokenry.decoding.gad import GAD
from tokenry.decoding.icn import ICN
from tokenry.decoding.octopus import Octopus
from tokenry.decoding.prompt_lookup import PromptLookup
from tokenry.decoding.token_recycling import TokenRecycling

__all__ = [
    "GAD",
    "ICN",
    "AggressiveDecoding",
    "ByteExact",
    "DySpec",
    "Octopus",
    "PromptLookup",
    "TokenRecycling",
]

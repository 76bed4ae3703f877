"""Fewer passes for the same text: tokens drafted ahead, bytes, and ways through a model."""

from tokenry.decoding.dyspec import DySpec
from tokenry.decoding.prompt_lookup import PromptLookup
from tokenry.decoding.token_recycling import TokenRecycling

__all__ = ["DySpec", "PromptLookup", "TokenRecycling"]

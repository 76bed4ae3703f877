"""A smaller key-value cache: policies that evict, merge or select its slots."""

from tokenry.cache.actqkv import ActQKV
from tokenry.cache.h2o import H2O
from tokenry.cache.key_norm import KeyNorm
from tokenry.cache.random_slots import RandomSlots
from tokenry.cache.snapkv import SnapKV
from tokenry.cache.streaming_llm import StreamingLLM
from tokenry.cache.tokenselect import TokenSelect

__all__ = [
    "H2O",
    "ActQKV",
    "KeyNorm",
    "RandomSlots",
    "SnapKV",
    "StreamingLLM",
    "TokenSelect",
]

"""The key-value cache of a language model: keep, merge, select and move what it holds."""

from tokenry.cache.actqkv import ActQKV
from tokenry.cache.anchor_attention import AnchorAttention
from tokenry.cache.d2o import D2O
from tokenry.cache.h2o import H2O
from tokenry.cache.key_norm import KeyNorm
from tokenry.cache.landmark import Landmark
from tokenry.cache.pie import Pie
from tokenry.cache.random_slots import RandomSlots
from tokenry.cache.snapkv import SnapKV
from tokenry.cache.streaming_llm import StreamingLLM
from tokenry.cache.tokenring import TokenRing
from tokenry.cache.tokenselect import TokenSelect

__all__ = [
    "D2O",
    "H2O",
    "ActQKV",
    "AnchorAttention",
    "KeyNorm",
    "Landmark",
    "Pie",
    "RandomSlots",
    "SnapKV",
    "StreamingLLM",
    "TokenRing",
    "TokenSelect",
]

"""A smaller key-value cache: policies that evict, merge or select its slots."""

from tokenry.cache.h2o import H2O
from tokenry.cache.key_norm import KeyNorm
from tokenry.cache.landmark import Landmark
from tokenry.cache.random_slots import RandomSlots
from tokenry.cache.snapkv import SnapKV
from tokenry.cache.streaming_llm import StreamingLLM

__all__ = ["H2O", "KeyNorm", "Landmark", "RandomSlots", "SnapKV", "StreamingLLM"]

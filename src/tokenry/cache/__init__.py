"""The KV cache of a language model: keep, merge, select and move what it holds."""

from tokenry.cache.tokenring import TokenRing

__all__ = ["TokenRing"]

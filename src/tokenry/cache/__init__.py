"""Keys and values: what a language model keeps of its context, and who attends to it."""

from tokenry.cache.anchor_attention import AnchorAttention

__all__ = ["AnchorAttention"]

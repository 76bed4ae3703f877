"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.packing import PackedAttention
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer

__all__ = [
    "Heads",
    "In",
    "Keep",
    "LayerView",
    "Method",
    "PackedAttention",
    "Schedule",
    "Setting",
    "TokenReducer",
    "alternatives",
    "settings",
]

"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.marked import MarkedPolicy, MarkedView
from tokenry.method.policy import CachePolicy, KVView, Read, Slots
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer

__all__ = [
    "CachePolicy",
    "Heads",
    "In",
    "KVView",
    "Keep",
    "LayerView",
    "MarkedPolicy",
    "MarkedView",
    "Method",
    "Read",
    "Schedule",
    "Setting",
    "Slots",
    "TokenReducer",
    "alternatives",
    "settings",
]

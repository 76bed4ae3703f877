"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer
from tokenry.method.ring import SequenceRing, Visit

__all__ = [
    "Heads",
    "In",
    "Keep",
    "LayerView",
    "Method",
    "Schedule",
    "SequenceRing",
    "Setting",
    "TokenReducer",
    "Visit",
    "alternatives",
    "settings",
]

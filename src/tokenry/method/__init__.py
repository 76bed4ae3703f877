"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.editor import CacheEditor, EditPlan
from tokenry.method.policy import CachePolicy, KVView, Read, Slots
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer
from tokenry.method.ring import SequenceRing, Visit

__all__ = [
    "CacheEditor",
    "CachePolicy",
    "EditPlan",
    "Heads",
    "In",
    "KVView",
    "Keep",
    "LayerView",
    "Method",
    "Read",
    "Schedule",
    "SequenceRing",
    "Setting",
    "Slots",
    "TokenReducer",
    "Visit",
    "alternatives",
    "settings",
]

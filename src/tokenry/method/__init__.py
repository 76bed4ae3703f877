"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.editor import CacheEditor, EditPlan
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer

__all__ = [
    "CacheEditor",
    "EditPlan",
    "Heads",
    "In",
    "Keep",
    "LayerView",
    "Method",
    "Schedule",
    "Setting",
    "TokenReducer",
    "alternatives",
    "settings",
]

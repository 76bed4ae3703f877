"""The contracts: what a method is, and what each family's methods answer."""

from tokenry.method.base import In, Keep, Method, Setting, alternatives, settings
from tokenry.method.probe import Condition, Item, Measurement, Probe, Response, Score
from tokenry.method.reducer import Heads, LayerView, Schedule, TokenReducer

__all__ = [
    "Condition",
    "Heads",
    "In",
    "Item",
    "Keep",
    "LayerView",
    "Measurement",
    "Method",
    "Probe",
    "Response",
    "Schedule",
    "Score",
    "Setting",
    "TokenReducer",
    "alternatives",
    "settings",
]

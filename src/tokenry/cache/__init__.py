"""Rules for the key-value cache of a generating model, one file per system."""

from tokenry.cache.pie import Pie

__all__ = ["Pie"]

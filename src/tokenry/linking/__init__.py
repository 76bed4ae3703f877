"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from __future__ import annotations

from tokenry.linking.clippings import Clippings
from tokenry.linking.kriss import Kriss

__all__ = ["Clippings", "Kriss"]

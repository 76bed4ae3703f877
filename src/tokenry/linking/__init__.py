"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from __future__ import annotations

from tokenry.linking.char_ngrams import CharNgrams
from tokenry.linking.clippings import Clippings
from tokenry.linking.exact import Exact
from tokenry.linking.fuzzy import Fuzzy
from tokenry.linking.hybrid import Hybrid
from tokenry.linking.kriss import Kriss

__all__ = ["CharNgrams", "Clippings", "Exact", "Fuzzy", "Hybrid", "Kriss"]

"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from __future__ import annotations

from tokenry.linking.char_ngrams import CharNgrams
from tokenry.linking.exact import Exact
from tokenry.linking.fuzzy import Fuzzy
from tokenry.linking.hybrid import Hybrid

__all__ = ["CharNgrams", "Exact", "Fuzzy", "Hybrid"]

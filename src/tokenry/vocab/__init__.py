"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.focus import Focus
from tokenry.vocab.fvt import FVT
from tokenry.vocab.lexical_copy import LexicalCopy
from tokenry.vocab.mean_rows import MeanRows
from tokenry.vocab.random_rows import RandomRows
from tokenry.vocab.wechsel import Wechsel

__all__: list[str] = ["FVT", "Focus", "LexicalCopy", "MeanRows", "RandomRows", "Wechsel"]

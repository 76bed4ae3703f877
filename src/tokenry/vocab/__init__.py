"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.lexinvariant import Lexinvariant

__all__ = ["Lexinvariant"]

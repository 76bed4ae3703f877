"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.word_pooling import WordPooling

__all__ = ["WordPooling"]

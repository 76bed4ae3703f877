"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.data_mixture import DataMixture

__all__ = ["DataMixture"]

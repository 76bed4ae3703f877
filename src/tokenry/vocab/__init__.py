"""Vocabularies: judge one, learn a better one, move a model to another."""

__all__: list[str] = []

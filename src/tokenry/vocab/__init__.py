"""Vocabularies: judging them, learning them, moving a model to another one."""

from tokenry.vocab.qtok import Qtok

__all__ = ["Qtok"]

"""Vocabularies: judging them, learning them, moving a model to another one."""

from tokenry.vocab.qtok import Qtok
from tokenry.vocab.token_purity import TokenPurity

__all__ = ["Qtok", "TokenPurity"]

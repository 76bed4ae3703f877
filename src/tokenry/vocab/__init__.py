"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.bpe import Bpe
from tokenry.vocab.less_is_better import LessIsBetter
from tokenry.vocab.unigram import Unigram
from tokenry.vocab.wordpiece import WordPiece

__all__ = ["Bpe", "LessIsBetter", "Unigram", "WordPiece"]

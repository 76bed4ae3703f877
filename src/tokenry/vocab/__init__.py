"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.arithmetic_codes import ArithmeticCodes
from tokenry.vocab.bpe import Bpe
from tokenry.vocab.dnabert2 import DNABERT2
from tokenry.vocab.equal_info import EqualInfo
from tokenry.vocab.kmer import Kmer
from tokenry.vocab.less_is_better import LessIsBetter
from tokenry.vocab.lexinvariant import Lexinvariant
from tokenry.vocab.unigram import Unigram
from tokenry.vocab.word_pooling import WordPooling
from tokenry.vocab.wordpiece import WordPiece

__all__ = [
    "DNABERT2",
    "ArithmeticCodes",
    "Bpe",
    "EqualInfo",
    "Kmer",
    "LessIsBetter",
    "Lexinvariant",
    "Unigram",
    "WordPiece",
    "WordPooling",
]

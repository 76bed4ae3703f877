"""Vocabularies: judge one, learn a better one, move a model to another."""

from tokenry.vocab.arithmetic_codes import ArithmeticCodes
from tokenry.vocab.biomedical_morphemes import BiomedicalMorphemes
from tokenry.vocab.bpe import Bpe
from tokenry.vocab.dnabert2 import DNABERT2
from tokenry.vocab.dynamic_tokenization import DynamicTokenization
from tokenry.vocab.equal_info import EqualInfo
from tokenry.vocab.focus import Focus
from tokenry.vocab.fvt import FVT
from tokenry.vocab.glitch import Glitch
from tokenry.vocab.kmer import Kmer
from tokenry.vocab.less_is_better import LessIsBetter
from tokenry.vocab.lexical_copy import LexicalCopy
from tokenry.vocab.lexinvariant import Lexinvariant
from tokenry.vocab.mean_rows import MeanRows
from tokenry.vocab.parity import Parity
from tokenry.vocab.qtok import Qtok
from tokenry.vocab.random_rows import RandomRows
from tokenry.vocab.token_purity import TokenPurity
from tokenry.vocab.unigram import Unigram
from tokenry.vocab.visual_language import VisualLanguage
from tokenry.vocab.wechsel import Wechsel
from tokenry.vocab.word_pooling import WordPooling
from tokenry.vocab.wordpiece import WordPiece
from tokenry.vocab.zett import Zett

__all__ = [
    "DNABERT2",
    "FVT",
    "ArithmeticCodes",
    "BiomedicalMorphemes",
    "Bpe",
    "DynamicTokenization",
    "EqualInfo",
    "Focus",
    "Glitch",
    "Kmer",
    "LessIsBetter",
    "LexicalCopy",
    "Lexinvariant",
    "MeanRows",
    "Parity",
    "Qtok",
    "RandomRows",
    "TokenPurity",
    "Unigram",
    "VisualLanguage",
    "Wechsel",
    "WordPiece",
    "WordPooling",
    "Zett",
]

"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from tokenry.linking.char_ngrams import CharNgrams
from tokenry.linking.exact import Exact
from tokenry.linking.fuzzy import Fuzzy
from tokenry.linking.glossary_match import GlossaryMatch
from tokenry.linking.hybrid import Hybrid
from tokenry.linking.judged import Judged
from tokenry.linking.linktransformer import LinkTransformer
from tokenry.linking.online_contrastive import OnlineContrastive
from tokenry.linking.splink import Splink
from tokenry.linking.supcon import SupCon

__all__ = [
    "CharNgrams",
    "Exact",
    "Fuzzy",
    "GlossaryMatch",
    "Hybrid",
    "Judged",
    "LinkTransformer",
    "OnlineContrastive",
    "Splink",
    "SupCon",
]

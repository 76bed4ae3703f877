"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from __future__ import annotations

from tokenry.linking.char_ngrams import CharNgrams
from tokenry.linking.clippings import Clippings
from tokenry.linking.exact import Exact
from tokenry.linking.fuzzy import Fuzzy
from tokenry.linking.glossary_match import GlossaryMatch
from tokenry.linking.hashtags import Hashtags
from tokenry.linking.hybrid import Hybrid
from tokenry.linking.judged import Judged
from tokenry.linking.kriss import Kriss
from tokenry.linking.linkorgs import LinkOrgs
from tokenry.linking.linktransformer import LinkTransformer
from tokenry.linking.online_contrastive import OnlineContrastive
from tokenry.linking.splink import Splink
from tokenry.linking.supcon import SupCon

__all__ = [
    "CharNgrams",
    "Clippings",
    "Exact",
    "Fuzzy",
    "GlossaryMatch",
    "Hashtags",
    "Hybrid",
    "Judged",
    "Kriss",
    "LinkOrgs",
    "LinkTransformer",
    "OnlineContrastive",
    "Splink",
    "SupCon",
]

"""The index itself as a method: its rankers and stores beside those of papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tokenry.card import Card
from tokenry.method import SearchPlan


@final
@dataclass(frozen=True, kw_only=True)
class IndexSearch(SearchPlan):
    """Search a `tokenry.Index` as a user would: its stages, its store, its bytes on disk.

    Args:
        rankers: One stage of rankers or two: a+b fuses rankings, a>b lets b put in order what a
            found.
        store: Where the token vectors lie, with settings as in `name(setting=value)`.
        bits: Bits per dimension of compressed vectors, 0 for whole ones; for the store `segments`.
        candidates: Documents that each ranker of the first stage hands on.
        encoder: Reads documents and queries in place of the one that is compared: `zoo:NAME`, a
            folder or a name on the Hub; empty for that one.
        chunker: What cuts documents before they are indexed, as in `fixed-chunks(size=100)`; a
            document then counts as its best chunk. Empty for whole documents.

    Raises:
        UsageError: If a setting is out of range.

    >>> IndexSearch(rankers="bm25>maxsim").describe()
    "IndexSearch(rankers='bm25>maxsim')"
    """

    card: ClassVar[Card] = Card(
        slug="index-search",
        name="Index search",
        title="tokenry.Index with its own rankers and stores",
        summary="What an index on disk finds, how fast, and from how many bytes, by any encoder, "
        "of whole documents or chunks.",
        family="retrieval",
        have="documents, and queries with or without known answers",
        want="to know which rankers, store, encoder and chunks of an index to take",
        dial="no dial: rankers, store, encoder and chunks are the settings",
    )

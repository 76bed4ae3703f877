"""Ranked keys made hits that a person can read, with the tokens or words that answered."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tokenry.index.catalogue import Catalogue, Entry
from tokenry.index.documents import Hit, Match
from tokenry.index.rankers import Query
from tokenry.index.store import Ranking, TokenStore
from tokenry.index.words import word_matches


def hits(query: Query, found: Ranking, catalogue: Catalogue, store: TokenStore) -> list[Hit]:
    """The documents of a ranking, without those that were deleted meanwhile."""
    entries = catalogue.entries(found.keys.tolist())
    answers: dict[int, tuple[Match, ...]] = {}
    if query.tokens is None:
        for key, places in catalogue.places(query.text, list(entries)).items():
            answers[key] = word_matches(query.text, entries[key].document.text, places)
    elif len(query.tokens):
        for key, rows in zip(found.keys.tolist(), store.gather(found.keys), strict=True):
            if key in entries and len(rows):
                answers[key] = _matches(query, entries[key], rows)
    return [
        Hit(one.id, score, one.text, one.metadata, answers.get(key, ()))
        for key, score in zip(found.keys.tolist(), found.scores.tolist(), strict=True)
        if key in entries
        for one in [entries[key].document]
    ]


def _matches(query: Query, entry: Entry, rows: Float[Tensor, "n d"]) -> tuple[Match, ...]:
    if query.tokens is None or query.spans is None:
        return ()
    near = query.tokens.float() @ rows.float().T
    best, places = near.max(1)
    spans = entry.spans[places.numpy()].tolist()
    asked = query.spans.tolist()
    return tuple(
        Match((a, b), (c, d), similarity)
        for (a, b), (c, d), similarity in zip(asked, spans, best.tolist(), strict=True)
        if b > a and d > c
    )

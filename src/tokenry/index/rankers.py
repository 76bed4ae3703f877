"""Who ranks: one stage or two, each of one ranker or several that are fused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.errors import UnknownNameError, UsageError
from tokenry.index.catalogue import Catalogue
from tokenry.index.store import Keys, Ranking, TokenStore
from tokenry.ops.fusion import reciprocal_rank_fusion

RANKERS = ("bm25", "maxsim", "pooled", "xtr")
TOKENS = 500
"""Tokens that each query token retrieves for XTR's score."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query as the rankers see it.

    Attributes:
        text: What was asked.
        tokens: Its token vectors; None where no ranker needs them.
        spans: Where the tokens stand in the text.
        pooled: Its one vector.
    """

    text: str
    tokens: Float[Tensor, "n d"] | None = None
    spans: Int[Tensor, "n 2"] | None = None
    pooled: Float[Tensor, " p"] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rankers find candidates, and which put them in order.

    Attributes:
        first: Rankers of all documents; several are fused by their ranks.
        second: Rankers of the candidates that the first found; none where there is one stage.
    """

    first: tuple[str, ...]
    second: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Plan:
        """A plan from words such as `maxsim`, `bm25+pooled` or `bm25>maxsim`.

        Raises:
            UnknownNameError: If it names an unknown ranker.
            UsageError: If it has more than two stages.

        >>> Plan.parse("bm25+pooled > maxsim")
        Plan(first=('bm25', 'pooled'), second=('maxsim',))
        """
        stages = [[name.strip() for name in stage.split("+")] for stage in text.split(">")]
        if len(stages) > 2:
            raise UsageError(f"rankers {text!r}: has {len(stages)} stages; at most two, as a>b.")
        for name in (name for stage in stages for name in stage):
            if name not in RANKERS:
                raise UnknownNameError("ranker", name, RANKERS, "Write them as in bm25>maxsim.")
        return cls(*map(tuple, stages))

    @property
    def reads_vectors(self) -> bool:
        """Whether a query has to be encoded."""
        return any(name != "bm25" for name in (*self.first, *self.second))

    def rank(
        self,
        query: Query,
        k: int,
        *,
        catalogue: Catalogue,
        store: TokenStore,
        among: Keys | None = None,
        candidates: int = 100,
    ) -> Ranking:
        """The `k` best documents.

        Args:
            query: What is asked, with vectors where the plan reads them.
            k: Most documents.
            catalogue: Where the words are.
            store: Where the vectors are.
            among: Only these documents, ascending; None for all.
            candidates: Documents that each ranker of the first stage hands on.
        """
        most = max(k, candidates)
        # Fusion needs more of each ranking than it hands on.
        wide = most if self.second or len(self.first) > 1 else k
        found = _stage(self.first, query, wide, catalogue, store, among)
        if self.second:
            some = np.sort(found.keys)
            found = _stage(self.second, query, max(k, len(some)), catalogue, store, some)
        return Ranking(found.keys[:k], found.scores[:k])


def _stage(
    names: tuple[str, ...],
    query: Query,
    k: int,
    catalogue: Catalogue,
    store: TokenStore,
    among: Keys | None,
) -> Ranking:
    found = [_one(name, query, k, catalogue, store, among) for name in names]
    if len(found) == 1:
        return found[0]
    return Ranking(*reciprocal_rank_fusion([ranking.keys for ranking in found]))


def _one(
    name: str,
    query: Query,
    k: int,
    catalogue: Catalogue,
    store: TokenStore,
    among: Keys | None,
) -> Ranking:
    if name == "bm25":
        return catalogue.words(query.text, k, among)
    if query.tokens is None or query.pooled is None:
        raise UsageError(f"ranker {name!r}: the query has no vectors; encode it first.")
    if name == "pooled":
        return store.nearest(query.pooled, k, among)
    if name == "xtr":
        return store.hits(query.tokens, TOKENS, among).ranking(k)
    return store.maxsim(query.tokens, k, among)

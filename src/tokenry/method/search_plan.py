"""The contract of ways to search an index as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tokenry.method.base import In, Method


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Method):
    """Which rankers search an index, and in which store its vectors lie."""

    rankers: Annotated[str, "rankers of an index, as in `bm25+pooled>maxsim`"] = (
        "bm25+pooled>maxsim"
    )
    store: Annotated[str, "where its token vectors lie"] = "segments"
    candidates: Annotated[int, In(1, 1_000_000), "documents that each first ranker hands on"] = 100

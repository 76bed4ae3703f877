"""The contract of ways to search an index as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from tokenry.method.base import In, Method


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Method):
    """How documents are cut and read for an index, where vectors lie, and what ranks them."""

    noun: ClassVar[str] = "search plan"

    rankers: Annotated[str, "rankers of an index, as in `bm25+pooled>maxsim`"] = (
        "bm25+pooled>maxsim"
    )
    store: Annotated[str, "where its token vectors lie"] = "segments"
    bits: Annotated[
        Literal[0, 1, 2, 4, 8], "bits per dimension of compressed vectors, 0 for whole ones"
    ] = 0
    candidates: Annotated[int, In(1, 1_000_000), "documents that each first ranker hands on"] = 100
    encoder: Annotated[str, "another encoder than the one that is compared; empty for that one"] = (
        ""
    )
    chunker: Annotated[str, "what cuts documents into chunks; empty for nothing"] = ""

"""A collection to search: documents, queries, and which documents answer which query."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from tokenry.data.base import DataSet, Wanted
from tokenry.errors import DataError


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Attributes:
        id: Unique in its collection and stable.
        text: What is searched; where there is a title, it stands at the beginning.
        meta: Further text, for people.
    """

    id: str
    text: str = field(repr=False)
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        id: Unique in its collection and stable.
        text: What is asked.
        relevance: How relevant each document is, by id; documents that are not named are not.
            Empty where nobody knows.
        split: "train", "test", or None where the source does not say.
        domain: Where it comes from, if known.
    """

    id: str
    text: str
    relevance: Mapping[str, float | int] = field(default_factory=dict, hash=False)
    split: str | None = None
    domain: str | None = None

    @property
    def label(self) -> str:
        """What people know it by: the text itself."""
        return self.text


@dataclass(frozen=True, repr=False)
class Collection(DataSet[Query]):
    """Queries as examples, and the documents that all of them search.

    `hash` is over queries, relevance and documents.

    Attributes:
        name: What tables and reports call it.
        examples: The queries: at least one, with distinct ids.
        license: Under which licence the texts come, or "not stated".
        source: Where they come from.
        documents: At least one, with distinct ids.

    Raises:
        DataError: If there are no queries or documents, or ids are given twice.
    """

    noun: ClassVar[str] = "queries"
    fields: ClassVar[tuple[str, ...]] = ("split", "domain")

    documents: tuple[Document, ...] = ()

    def __post_init__(self) -> None:
        DataSet.__post_init__(self)
        if not self.documents:
            raise DataError(f"{self.name}: holds no documents; give at least one.")
        if len(self.by_id) < len(self.documents):
            counts = Counter(document.id for document in self.documents)
            twice = counts.most_common(1)[0][0]
            raise DataError(f"{self.name}: two documents have the id {twice!r}.")

    @cached_property
    def by_id(self) -> dict[str, Document]:
        """The documents by id."""
        return {document.id: document for document in self.documents}

    def itself(self, query: Query) -> str | None:
        """The document that is the query, by id and text; it is no answer, and is left out.

        Where documents are asked about each other, as in `lee`.
        """
        document = self.by_id.get(query.id)
        return query.id if document is not None and document.text == query.text else None

    @property
    def labelled(self) -> bool:
        """Whether it is known for any query what is relevant."""
        return any(query.relevance for query in self.examples)

    @cached_property
    def hash(self) -> str:
        """A sha256 over all that a measurement depends on, in order."""
        total = hashlib.sha256()
        for query in self.examples:
            total.update(json.dumps(self._row(query)).encode() + b"\n")
        for document in self.documents:
            total.update(json.dumps([document.id, document.text]).encode() + b"\n")
        return total.hexdigest()

    def where(self, *, domain: Wanted = None, split: Wanted = None) -> Collection:
        """Keep the queries that match every given field, and all documents.

        Raises:
            UnknownNameError: No query has the value.
            DataError: No query matches all fields.
        """
        return self._where(domain=domain, split=split)

    def first_documents(self, n: int) -> Collection:
        """The documents that some query wants, and of the others the first, `n` in all or more.

        For a quick look: what a smaller collection finds is easier than the whole.
        """
        wanted = {name for query in self.examples for name in query.relevance}
        room = max(0, n - len(wanted & set(self.by_id)))
        others = [d.id for d in self.documents if d.id not in wanted][:room]
        kept = wanted | set(others)
        return replace(self, documents=tuple(d for d in self.documents if d.id in kept))

    def _facts(self) -> list[str]:
        known = sum(bool(query.relevance) for query in self.examples)
        return [f"{len(self.documents)} documents", f"{known} with known answers"]

    def _row(self, example: Query) -> list[Any]:
        q = example
        return [q.id, q.text, sorted(q.relevance.items()), q.split, q.domain]


def strangers(queries: Iterable[Query], documents: Iterable[Document]) -> set[str]:
    """Documents that labels name and that are not there."""
    there = {document.id for document in documents}
    return {name for query in queries for name in query.relevance if name not in there}

"""Search: which documents a query finds, by tokens, and in how much time from how many bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tokenry.compare.library import Library, Question
from tokenry.compare.records import Figure
from tokenry.compare.shelves import Shelf, shelf
from tokenry.compare.tasks.base import Pass, Scores, Subject, Task, whole_number
from tokenry.data import Collection, Query
from tokenry.errors import UsageError
from tokenry.method import Method
from tokenry.ops.ranking import ndcg, overlap, recall, reciprocal_rank, relevant
from tokenry.plugs.token_encoder import TokenEncoder, punctuation
from tokenry.plugs.token_windows import PlainReader

FIRST, DEEP = 10, 100
"""Ranks that the score looks at, and ranks that are asked for."""
PLACES = 32_000
"""Tokens of a document that a picture can point to."""

FIGURES = (
    Figure("mrr", f"MRR@{FIRST}", "number"),
    Figure("recall", f"Recall@{DEEP}", "number"),
    Figure("overlap", f"Same first {FIRST}", "number"),
    Figure("p50", "p50", "seconds", "seconds", 0.5),
    Figure("p95", "p95", "seconds", "seconds", 0.95),
    Figure("search_seconds", "Search alone", "seconds"),
    Figure("index_bytes", "Index MB", "bytes"),
    Figure("token_bytes", "Bytes per token", "number"),
    Figure("build_seconds", "Build", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """What queries found.

    Attributes:
        names: Ids of the documents, the best first.
        questions: The queries as their tokens.
        queries: The queries.
        searching: Seconds of the search alone.
        shelf: Where they were searched.
    """

    names: list[list[str]]
    questions: list[Question]
    queries: list[Query]
    searching: float
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the pictures of a query show: its tokens, and two documents by their places."""

    question: Question
    documents: tuple[int, int]


class Search(Task):
    """Whether queries find what answers them, among all documents of a collection.

    Without known answers the score is the share of the ten documents that exact MaxSim over all
    token vectors ranks first. Seconds are those of a query from text to ranking: encoding, where
    the method needs vectors, and search.

    Args:
        max_tokens: Most tokens of a document that are read; None for all.

    Raises:
        UsageError: If it is out of range.
    """

    kind = "text-encoder"
    slug = "search"
    title = "Documents found"
    metric = f"nDCG@{FIRST}"
    explanation = (
        f"Normalised discounted cumulative gain of the first {FIRST} documents, with linear gains: "
        "1 when the most relevant documents come first. The reference is exact MaxSim over all "
        "token vectors; keep is the share of the documents' tokens that is indexed."
    )
    figures: tuple[Figure, ...] = FIGURES

    def __init__(self, max_tokens: int | None = None) -> None:
        if max_tokens is not None:
            whole_number(self.slug, "max_tokens", max_tokens)
        self.max_tokens = max_tokens
        self._collection: Collection | None = None
        self._library: Library | None = None
        self._shelves: dict[Method | None, Shelf] = {}
        self._shelf: Shelf | None = None
        self._shown: dict[str, _Shown] = {}

    def describe(self) -> str:
        """The task and its settings."""
        return f"{self.slug}(max_tokens={self.max_tokens}, first={FIRST}, deep={DEEP})"

    def take(self, data: Collection) -> None:
        """Note the documents, and whether it is known what answers the queries."""
        self._collection = data
        if not data.labelled:
            self.metric = f"same first {FIRST}"
            self.explanation = (
                f"Share of the first {FIRST} documents of exact MaxSim over all token vectors that "
                f"are among the first {FIRST} here: nobody said what answers these queries. Keep "
                "is the share of the documents' tokens that is indexed."
            )
            self.figures = tuple(f for f in FIGURES if f.name not in ("mrr", "recall", "overlap"))

    def usable(self, subject: Subject, examples: Sequence[Query]) -> Sequence[Query]:
        """The queries that something answers; where nobody knows, all.

        Raises:
            UsageError: If nothing answers any of them.
        """
        if not self._documents.labelled:
            return examples
        found = [query for query in examples if relevant(query.relevance)]
        if not found:
            raise UsageError(
                f"{self.slug}: no label of {self._documents.name} is above 0, so nothing can be "
                "found; leave the labels out to measure agreement with exact MaxSim."
            )
        return found

    def prepare(self, subject: Subject, examples: Sequence[Query]) -> None:
        """Make the encoder; documents are encoded when the first configuration runs."""
        reader = PlainReader(subject.model, subject.processor)
        encoder = TokenEncoder(subject.name, reader, punctuation(subject.processor))
        self._library = Library(encoder, self._documents.documents, self.max_tokens)
        self._shelves = {}

    @contextmanager
    def switched(self, model: nn.Module, methods: Sequence[Method]) -> Iterator[Any]:
        """The documents as the method wants them; made at the first time, then held."""
        method = methods[0] if methods else None
        if method not in self._shelves:
            self._shelves[method] = shelf(self._read, method)
        self._shelf = self._shelves[method]
        yield SimpleNamespace(trace=SimpleNamespace(share=self._shelf.share))

    def batch(self, subject: Subject, examples: Sequence[Query]) -> list[Query]:
        """The queries themselves: encoding them is part of what is timed."""
        return list(examples)

    def run(self, model: nn.Module, batch: list[Query]) -> Ranked:
        """Encode the queries, and rank the documents."""
        place = self._shelf
        if place is None:
            raise UsageError(f"{self.slug}: no method is switched on.")
        questions = [place.question(query.text) for query in batch]
        start = time.perf_counter()
        found = [place.rank(question, DEEP + 1).keys for question in questions]
        spent = time.perf_counter() - start
        every = [[place.library.ids[key - 1] for key in keys.tolist()] for keys in found]
        own = [self._documents.itself(query) for query in batch]
        names = [[n for n in one if n != me][:DEEP] for one, me in zip(every, own, strict=True)]
        return Ranked(names, questions, batch, spent, place)

    def finite(self, outputs: Ranked) -> list[bool]:
        """A ranking holds no score that is not a number."""
        return [True] * len(outputs.names)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Query]) -> Scores:
        """nDCG, or without known answers the overlap with the reference."""
        mine, plain = seen.outputs.names, untouched.outputs.names
        same = [overlap(a, b, FIRST) for a, b in zip(mine, plain, strict=True)]
        if not self._documents.labelled:
            return Scores(same)
        pairs = list(zip(mine, (query.relevance for query in examples), strict=True))
        further: dict[str, Sequence[float]] = {
            "mrr": [reciprocal_rank(names, labels, FIRST) for names, labels in pairs],
            "recall": [recall(names, labels, DEEP) for names, labels in pairs],
            "overlap": same,
        }
        return Scores([ndcg(names, labels, FIRST) for names, labels in pairs], further)

    def costs(self, seen: Pass) -> dict[str, float]:
        """Seconds of the search, and what the index takes."""
        place, found = seen.outputs.shelf, seen.outputs
        whole = max(1, len(place.library.tokens.values))
        return {
            "search_seconds": found.searching / len(found.names),
            "index_bytes": float(place.bytes),
            "token_bytes": place.bytes / whole,
            "build_seconds": place.seconds,
        }

    def rows(self, seen: Pass, entered: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Tokens that are indexed, twice: all are looked at."""
        return [(seen.outputs.shelf.tokens,) * 2]

    def thumbnails(self, subject: Subject, batch: list[Query], untouched: Pass) -> list[bytes]:
        """The query's tokens, and the tokens of two documents, as JSON.

        The first document is the most relevant one, or without labels the reference's first; the
        second is the best of the reference's that is not relevant.
        """
        return [
            self._page(query, question, names)
            for query, question, names in zip(
                batch, untouched.outputs.questions, untouched.outputs.names, strict=True
            )
        ]

    def _page(self, query: Query, question: Question, names: list[str]) -> bytes:
        library = self._read
        place = {name: i for i, name in enumerate(library.ids)}
        wanted = [
            n for n in sorted(query.relevance, key=lambda n: -query.relevance[n]) if n in place
        ]
        answers = relevant(query.relevance)
        first = next(iter(wanted or names), library.ids[0])
        second = next((n for n in names if n not in answers and n != first), first)
        self._shown[query.id] = _Shown(question, (place[first], place[second]))
        shown = [_document(library, place[name]) for name in (first, second)]
        return json.dumps({"query": question.pieces, "documents": shown}).encode()

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """For each query token and both documents: the token that answers it, and how near.

        Six rows: place and nearness in thousandths for the first document, the same for the
        second, and the ranks of both, 0 where they were not found.
        """
        found, pictures = seen.outputs, []
        for query, names in zip(found.queries, found.names, strict=True):
            ranks = {name: rank for rank, name in enumerate(names, 1)}
            shown = self._shown[query.id]
            rows: list[NDArray[Any]] = []
            for document in shown.documents:
                places, near = found.shelf.answers(shown.question, document)
                rows += [np.where(places < PLACES, places, -1), np.rint(near * 1000)]
            for document in shown.documents:
                rank = ranks.get(found.shelf.library.ids[document], 0)
                rows.append(np.full(len(shown.question.pieces), rank))
            pictures.append(np.stack(rows).astype(np.int16))
        return pictures

    @property
    def _documents(self) -> Collection:
        if self._collection is None:
            raise UsageError(f"{self.slug}: got no collection; see tokenry.data.load_collection.")
        return self._collection

    @property
    def _read(self) -> Library:
        """The documents, which are there once the task is prepared."""
        if self._library is None:
            raise UsageError(f"{self.slug}: was not prepared.")
        return self._library


def _document(library: Library, number: int) -> dict[str, Any]:
    """Id and text of a document, cut where its tokens begin."""
    text, spans = library.texts[number], library.spans[number].tolist()[:PLACES]
    starts = [start for start, _ in spans]
    ends = [*starts[1:], len(text)]
    pieces = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    return {"id": library.ids[number], "pieces": pieces}

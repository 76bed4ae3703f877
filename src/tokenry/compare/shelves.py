"""Shelves: what each method makes of the same documents, and which of them answer a query."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from tokenry.compare.cut import Cut
from tokenry.compare.library import Library, Question
from tokenry.errors import UsageError
from tokenry.index import columns
from tokenry.index.catalogue import Catalogue
from tokenry.index.folder import TOKENS
from tokenry.index.index import Index
from tokenry.index.rankers import Plan
from tokenry.index.store import Ranking, Shape, TokenStore
from tokenry.index.stores import open_store
from tokenry.method import IndexReducer, LateScorer, SearchPlan, TokensView
from tokenry.ops.budget import kept_count
from tokenry.ops.grouping import group_means
from tokenry.ops.ragged import Ragged, offsets
from tokenry.plugs.token_encoder import Mode, TokenTexts

Pairs = tuple[NDArray[np.int64], NDArray[np.float32]]
"""For each query token, the token of a document that answers it (-1 for none), and how near."""


class Shelf(ABC):
    """What a method made of the documents.

    Attributes:
        vectors: Whether queries are asked as vectors.
        share: Share of the documents' tokens that is there.
        tokens: How many that are.
        bytes: What they take.
        seconds: What it took to make them, encoding included.
    """

    vectors: bool = True
    share: float = 1.0
    tokens: int
    bytes: int
    seconds: float

    def __init__(self, library: Library) -> None:
        self.library = library

    def question(self, text: str) -> Question:
        """A query as it is asked here."""
        return self.library.question(text, self.vectors)

    @abstractmethod
    def rank(self, question: Question, k: int) -> Ranking:
        """The best documents, by their places in the library counted from 1."""

    def held(self, document: int) -> tuple[Float[Tensor, "k d"], Int[Tensor, " n"]]:
        """The vectors of a document, and for each of its tokens which of them it is part of."""
        vectors = self.library.tokens[document].float()
        return vectors, torch.arange(len(vectors))

    def answers(self, question: Question, document: int) -> Pairs:
        """Which token of a document answers each token of a query.

        Where several tokens became one vector, the one that is nearest to the query's itself.
        """
        vectors, groups = self.held(document)
        if not len(vectors):
            return _none(len(question.pieces))
        near, row = (question.vectors @ vectors.T).max(1)
        own = question.vectors @ self.library.tokens[document].float().T
        own[groups != row[:, None]] = -torch.inf
        return own.argmax(1).numpy(), near.numpy()


class VectorShelf(Shelf):
    """Vectors in a store: all of them, or those that a reducer left.

    Args:
        library: The documents.
        reducer: What leaves some out; None for none.
        store: Name of the store.
    """

    def __init__(
        self, library: Library, reducer: IndexReducer | None, store: str = "segments"
    ) -> None:
        super().__init__(library)
        whole = library.tokens
        start = time.perf_counter()
        self._groups = None if reducer is None else _groups(library, reducer)
        kept = whole if self._groups is None else _reduced(whole, self._groups)
        folder, shape = Path(tempfile.mkdtemp(prefix="tokenry-")), Shape(library.encoder.dimension)
        with open_store(store, folder / "store", shape, write=True) as made:
            made.add(np.arange(1, len(whole) + 1), kept)
            made.commit()
        self.seconds = library.seconds + time.perf_counter() - start
        self._store = open_store(store, folder / "store", shape, write=False)
        weakref.finalize(self, _clear, folder, self._store)
        self.tokens, self.bytes = len(kept.values), self._store.size().bytes
        self.share = self.tokens / max(1, len(whole.values))

    def rank(self, question: Question, k: int) -> Ranking:
        """By MaxSim over what is in the store."""
        return self._store.maxsim(question.vectors, k)

    def held(self, document: int) -> tuple[Float[Tensor, "k d"], Int[Tensor, " n"]]:
        """What the store holds."""
        vectors = self._store.gather(np.array([document + 1]))[0].float()
        whole = torch.arange(len(self.library.tokens[document]))
        return vectors, whole if self._groups is None else self._groups[document]


class ScoredShelf(Shelf):
    """All tokens, in the order that a scorer gives.

    Args:
        library: The documents.
        scorer: The scorer.
    """

    def __init__(self, library: Library, scorer: LateScorer) -> None:
        super().__init__(library)
        self.vectors = scorer.reads == "vectors"
        library.made  # noqa: B018 - encoding is not part of preparing
        start = time.perf_counter()
        documents = library.tokens if self.vectors else library.words
        self._prepared = scorer.prepared(documents)
        spent = time.perf_counter() - start
        self.seconds = spent + (library.seconds if self.vectors else 0)
        self.tokens, self.bytes = len(documents.values), self._prepared.bytes

    def rank(self, question: Question, k: int) -> Ranking:
        """By the scorer's score."""
        asked = question.vectors if self.vectors else self.library.numbered(question.asked.text)
        scores = self._prepared.score(Ragged.of([asked]))[0].numpy()
        return Ranking.best(np.arange(1, len(scores) + 1), scores, k)

    def answers(self, question: Question, document: int) -> Pairs:
        """The nearest token, or for words the first one that is the same."""
        if self.vectors:
            return super().answers(question, document)
        pieces = self.library.pieces(document)
        first = {piece: place for place, piece in reversed(list(enumerate(pieces)))}
        places = [first.get(piece.lower(), -1) for piece in question.pieces]
        return np.array(places, np.int64), np.array([float(p >= 0) for p in places], np.float32)


class IndexShelf(Shelf):
    """A `tokenry.Index`, searched by its own rankers.

    Args:
        library: The documents.
        plan: Rankers and store, and how documents are cut and read.

    Raises:
        UsageError: If no document holds anything to index.
    """

    def __init__(self, library: Library, plan: SearchPlan) -> None:
        super().__init__(library)
        self._plan, self._candidates = Plan.parse(plan.rankers), plan.candidates
        self.vectors = self._plan.reads_vectors
        self._cut = Cut.of(library, plan)
        indexed = self._indexed = library if self._cut is None else self._cut.library
        recalled = _Recalled(indexed)
        indexed.made  # noqa: B018 - encoding is not part of preparing
        start = time.perf_counter()
        path = Path(tempfile.mkdtemp(prefix="tokenry-")) / "index"
        with Index(path, recalled, store=plan.store) as index:
            index.add(
                {"id": name, "text": text}
                for name, text in zip(indexed.ids, indexed.texts, strict=True)
            )
            if plan.bits:
                index.compress(plan.bits)
            shape = index.settings.shape
        if shape is None:
            raise UsageError("search: the index holds no documents.")
        self.seconds = indexed.seconds + time.perf_counter() - start
        self._catalogue = Catalogue(path, write=False)
        self._store = open_store(plan.store, path / TOKENS, shape, write=False)
        weakref.finalize(self, _clear, path.parent, self._store, self._catalogue)
        self.tokens, self.bytes = self._store.size().tokens, columns.size_of(path)

    def question(self, text: str) -> Question:
        """A query, read by the plan's own encoder if it has one."""
        return self._indexed.question(text, self.vectors)

    def rank(self, question: Question, k: int) -> Ranking:
        """By the rankers of the plan; a document counts as its best chunk."""
        if self._cut is None:
            return self._ranked(question, k)
        deep, whole = k, len(self._indexed.ids)
        while True:
            chunks = self._ranked(question, deep)
            found = self._cut.folded(chunks, k)
            if len(found) == k or len(chunks) < deep or deep >= whole:
                return found
            deep = min(4 * deep, whole)

    def answers(self, question: Question, document: int) -> Pairs:
        """Which token of the document, whole, answers each token of the query as it is shown."""
        if self._cut is None:
            return super().answers(question, document)
        return self._cut.answers(question, self.library.spans[document], document)

    def _ranked(self, question: Question, k: int) -> Ranking:
        found = self._plan.rank(
            question.asked,
            k,
            catalogue=self._catalogue,
            store=self._store,
            candidates=self._candidates,
        )
        # The index hands out keys in the order in which documents come.
        return Ranking(np.searchsorted(self._catalogue.keys(), found.keys) + 1, found.scores)


class _Recalled:
    """An encoder that gives back what it was asked to encode before.

    Args:
        library: The documents.
    """

    def __init__(self, library: Library) -> None:
        encoder = library.encoder
        self.name, self.dimension, self.pooled = encoder.name, encoder.dimension, encoder.pooled
        self._library = library
        self._places = {text: i for i, text in enumerate(library.texts)}

    def fingerprint(self) -> dict[str, Any]:
        """That of the encoder."""
        return self._library.encoder.fingerprint()

    def encode(self, texts: Sequence[str], mode: Mode = "document") -> TokenTexts:
        """What the library holds of these texts."""
        if mode != "document" or any(text not in self._places for text in texts):
            return self._library.encoder.encode(texts, mode)
        made, places = self._library.made, [self._places[text] for text in texts]
        spans = self._library.spans.take(places).values
        return TokenTexts(made.tokens.take(places), spans, made.pooled[places])


def shelf(library: Library, method: Any) -> Shelf:
    """What a method makes of the documents; None is exact MaxSim over all tokens."""
    if isinstance(method, LateScorer):
        return ScoredShelf(library, method)
    if isinstance(method, SearchPlan):
        return IndexShelf(library, method)
    return VectorShelf(library, method)


def _groups(library: Library, reducer: IndexReducer) -> list[Int[Tensor, " n"]]:
    """For each token of each document the vector that it becomes part of."""
    numbered, spread = library.tokens_numbered
    share = spread / max(1, len(library.ids))
    found = []
    for number, (vectors, words) in enumerate(zip(library.tokens, numbered, strict=True)):
        count = kept_count(len(vectors), reducer.keep) if len(vectors) else 0
        if count == len(vectors):
            found.append(torch.arange(count))
            continue
        view = TokensView(count, words, share[words].float(), number)
        found.append(reducer.group(vectors.float(), view))
    return found


def _reduced(whole: Ragged, groups: list[Int[Tensor, " n"]]) -> Ragged:
    parts = [group_means(x, g) for x, g in zip(whole, groups, strict=True)]
    return Ragged(torch.cat(parts), offsets(map(len, parts)))


def _clear(folder: Path, *parts: TokenStore | Catalogue) -> None:
    for part in parts:
        part.close()
    shutil.rmtree(folder, ignore_errors=True)


def _none(n: int) -> Pairs:
    return np.full(n, -1, np.int64), np.zeros(n, np.float32)

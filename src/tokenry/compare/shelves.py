"""Shelves: what each method makes of the same documents, and which of them answer a query."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tokenry.data import Document
from tokenry.errors import UsageError
from tokenry.index.catalogue import Catalogue
from tokenry.index.folder import TOKENS
from tokenry.index.index import Index
from tokenry.index.rankers import Plan, Query
from tokenry.index.store import Ranking, Shape, TokenStore
from tokenry.index.stores import open_store
from tokenry.method import IndexReducer, LateScorer, SearchPlan, TokensView
from tokenry.ops.budget import kept_count
from tokenry.ops.grouping import group_means
from tokenry.ops.ragged import Ragged, offsets
from tokenry.plugs.token_encoder import Mode, TokenEncoder, TokenTexts

LETTERS = 40
"""Longer than any token that counts."""
BATCH = 16
"""Documents that are encoded at a time."""
_WORD = re.compile(r"\w+")

Pairs = tuple[NDArray[np.int64], NDArray[np.float32]]
"""For each query token, the token of a document that answers it (-1 for none), and how near."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query as its tokens.

    Attributes:
        asked: The query, with vectors where something needs them.
        pieces: What each token stands for.
    """

    asked: Query
    pieces: list[str]

    @property
    def vectors(self) -> Float[Tensor, "n d"]:
        """One vector per token.

        Raises:
            UsageError: If it was not encoded.
        """
        if self.asked.tokens is None:
            raise UsageError("search: the query was not encoded.")
        return self.asked.tokens


class Library:
    """The documents, encoded when they are first needed, and then held for all methods.

    Args:
        encoder: What makes the vectors.
        documents: The documents.
        most: Most tokens of a document; None for all.
    """

    def __init__(
        self, encoder: TokenEncoder, documents: Sequence[Document], most: int | None
    ) -> None:
        self.encoder = encoder
        self.ids = [document.id for document in documents]
        self.texts = [d.text if most is None else _cut(encoder, d.text, most) for d in documents]
        self.seconds = 0.0

    @cached_property
    def made(self) -> TokenTexts:
        """The documents as the encoder gives them."""
        start = time.perf_counter()
        parts = range(0, len(self.texts), BATCH)
        # Nothing is shown where nobody looks.
        bar = tqdm(parts, "encoding", unit="batch", delay=2, leave=False, disable=None)
        made = [self.encoder.encode(self.texts[i : i + BATCH]) for i in bar]
        self.seconds = time.perf_counter() - start
        lengths = [n for one in made for n in one.tokens.lengths.tolist()]
        tokens = Ragged(torch.cat([one.tokens.values for one in made]), offsets(lengths))
        spans = torch.cat([one.spans for one in made])
        return TokenTexts(tokens, spans, torch.cat([one.pooled for one in made]))

    @property
    def tokens(self) -> Ragged:
        """The token vectors of all documents."""
        return self.made.tokens

    @property
    def spans(self) -> Ragged:
        """Where the tokens stand in their texts."""
        return self.made.tokens.map(self.made.spans)

    @cached_property
    def tokens_numbered(self) -> tuple[Ragged, Int[Tensor, " v"]]:
        """Each token as a number, and in how many documents each number stands."""
        known: dict[str, int] = {}
        lists = [
            torch.tensor([known.setdefault(piece, len(known)) for piece in self.pieces(i)]).long()
            for i in range(len(self.tokens))
        ]
        spread = torch.zeros(len(known), dtype=torch.int64)
        for numbers in lists:
            spread += torch.bincount(numbers, minlength=len(known)).clamp(max=1)
        return Ragged.of(lists), spread

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word of the documents."""
        known: dict[str, int] = {}
        for text in self.texts:
            for word in _WORD.findall(text.lower()):
                known.setdefault(word, len(known))
        return known

    @cached_property
    def words(self) -> Ragged:
        """The documents as numbers of words."""
        return Ragged.of([self.numbered(text) for text in self.texts])

    def numbered(self, text: str) -> Int[Tensor, " n"]:
        """A text as numbers of words; words that no document has get numbers of their own."""
        extra: dict[str, int] = {}
        found = [
            self.numbers.get(word, -1 - extra.setdefault(word, len(extra)))
            for word in _WORD.findall(text.lower())
        ]
        return torch.tensor(
            [n if n >= 0 else len(self.numbers) - 1 - n for n in found], dtype=torch.int64
        )

    def pieces(self, number: int) -> list[str]:
        """What the tokens of a document stand for, in lower case."""
        text, spans = self.texts[number], self.spans[number].tolist()
        return [text[start:end].lower() for start, end in spans]

    def question(self, text: str, vectors: bool) -> Question:
        """A query as its tokens, encoded where vectors are needed."""
        if not vectors:
            return Question(Query(text), _WORD.findall(text))
        made = self.encoder.encode([text], "query")
        pieces = [text[start:end] for start, end in made.spans.tolist()]
        asked = Query(text, made.tokens.values.float(), made.spans, made.pooled[0])
        return Question(asked, pieces)


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
        self._scorer, self.vectors = scorer, scorer.reads == "vectors"
        start = time.perf_counter()
        self._documents = library.tokens if self.vectors else library.words
        spent = time.perf_counter() - start
        self.seconds = library.seconds if self.vectors else spent
        values = self._documents.values
        self.tokens = len(values)
        self.bytes = values.nbytes if self.vectors else 4 * len(values)

    def rank(self, question: Question, k: int) -> Ranking:
        """By the scorer's score."""
        asked = question.vectors if self.vectors else self.library.numbered(question.asked.text)
        scores = self._scorer.score(Ragged.of([asked]), self._documents)[0].numpy()
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
        plan: Rankers and store.
    """

    def __init__(self, library: Library, plan: SearchPlan) -> None:
        super().__init__(library)
        self._plan, self._candidates = Plan.parse(plan.rankers), plan.candidates
        self.vectors = self._plan.reads_vectors
        recalled = _Recalled(library)
        start = time.perf_counter()
        path = Path(tempfile.mkdtemp(prefix="tokenry-")) / "index"
        with Index(path, recalled, store=plan.store) as index:
            index.add(
                {"id": name, "text": text}
                for name, text in zip(library.ids, library.texts, strict=True)
            )
            size, shape = index.size(), index.settings.shape
        self.seconds = library.seconds + time.perf_counter() - start
        self.tokens, self.bytes = size.tokens, size.bytes
        if shape is None:
            raise UsageError("search: the index holds no documents.")
        self._catalogue = Catalogue(path, write=False)
        self._store = open_store(plan.store, path / TOKENS, shape, write=False)
        weakref.finalize(self, _clear, path.parent, self._store, self._catalogue)

    def rank(self, question: Question, k: int) -> Ranking:
        """By the rankers of the plan; keys of an index count documents from 1."""
        return self._plan.rank(
            question.asked,
            k,
            catalogue=self._catalogue,
            store=self._store,
            candidates=self._candidates,
        )


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


def _cut(encoder: TokenEncoder, text: str, most: int) -> str:
    """The text up to the end of a token."""
    read = encoder.reader.tokenizer(
        text[: most * LETTERS],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    spans = read["offset_mapping"][:most]
    return text[: spans[-1][1]] if spans else ""


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

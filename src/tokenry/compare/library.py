"""The documents that are searched, encoded once for all methods."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.data import Document
from tokenry.errors import UsageError
from tokenry.index.rankers import Query
from tokenry.ops.ragged import Ragged, offsets
from tokenry.plugs.token_encoder import TokenEncoder, TokenTexts
from tokenry.progress import track

LETTERS = 40
"""Longer than any token that counts."""
BATCH = 16
"""Documents that are encoded at a time."""
_WORD = re.compile(r"\w+")


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
        bar = track(parts, "encoding", unit="batch")
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

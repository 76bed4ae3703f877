"""What goes into an index, and what comes out of a search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class Document:
    """A text under an id of the user's.

    Args:
        id: Unique in the index, and stable: what is added under an id again replaces it.
        text: The text.
        metadata: What searches may ask for, and people may see: plain data.

    Raises:
        UsageError: If one of them is something else.
    """

    id: str
    text: str = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.id, str) and self.id and isinstance(self.text, str)):
            raise UsageError(
                f"Document: id={self.id!r} with a text of {type(self.text).__name__}; both are "
                "strings, and the id is not empty."
            )
        try:
            json.dumps(dict(self.metadata))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"Document {self.id!r}: the metadata is not plain data ({error}); give strings, "
                "numbers, booleans, None, and lists or dicts of them."
            ) from None

    @classmethod
    def of(cls, given: str | Mapping[str, Any] | Document) -> Document:
        """A document from a text, or from a dict with `text`, perhaps `id`, and metadata.

        Where no id is given it is made from the text: the same text is the same document.

        >>> Document.of({"id": "7", "text": "some words", "year": 1999}).metadata
        {'year': 1999}
        """
        if isinstance(given, Document):
            return given
        if isinstance(given, str):
            return cls(_id(given), given)
        if not isinstance(given, Mapping) or not isinstance(given.get("text"), str):
            raise UsageError(
                f"Index: a document is a text, a dict with a text, or a {cls.__module__}.Document; "
                f"got {type(given).__module__}.{type(given).__name__}{_shown(given)}."
            )
        rest = {str(name): value for name, value in given.items() if name not in ("id", "text")}
        named = given.get("id")
        return cls(_id(given["text"]) if named is None else str(named), given["text"], rest)


@dataclass(frozen=True, slots=True)
class Match:
    """The document token that answers a query token best, or where a document says a word.

    Attributes:
        query: Where the query token begins and ends in the query.
        document: Where its answer begins and ends in the document.
        similarity: How near they are, 1 for the same direction and for the same word.
    """

    query: tuple[int, int]
    document: tuple[int, int]
    similarity: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that answers a query.

    Attributes:
        id: Its id.
        score: Greater is better; what it counts depends on the ranker.
        text: Its text.
        metadata: What was stored beside it.
        matches: For each query token, which token of the document answered it; where words alone
            rank, a place of each word that the document says.
    """

    id: str
    score: float
    text: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False, hash=False)
    matches: tuple[Match, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The hit as plain data."""
        return {
            "id": self.id,
            "score": self.score,
            "text": self.text,
            "metadata": dict(self.metadata),
            "matches": [
                {"query": list(m.query), "document": list(m.document), "similarity": m.similarity}
                for m in self.matches
            ],
        }


@dataclass(slots=True)
class Changes:
    """What an `add` did.

    Attributes:
        added: Documents that are new.
        changed: Documents whose text or metadata is new.
        unchanged: Documents that were there as they are, and were not encoded again.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def __str__(self) -> str:
        return f"{self.added} added, {self.changed} changed, {self.unchanged} unchanged"


def content_hash(text: str) -> str:
    """What says whether a text is still the same."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _id(text: str) -> str:
    return content_hash(text)[:16]


def _shown(given: object) -> str:
    return f" with {', '.join(map(str, given))}" if isinstance(given, Mapping) else ""


def batches(
    documents: Iterable[str | Mapping[str, Any] | Document], most: int, letters: int
) -> Iterator[list[Document]]:
    """Documents in lists of at most so many, with about so many letters; of one id, the last."""
    held: dict[str, Document] = {}
    size = 0
    for given in documents:
        document = Document.of(given)
        held[document.id] = document
        size += len(document.text)
        if len(held) == most or size >= letters:
            yield list(held.values())
            held, size = {}, 0
    if held:
        yield list(held.values())

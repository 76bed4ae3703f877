"""Texts to token vectors: what an index holds of documents, and asks with."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tokenry.errors import UsageError
from tokenry.ops.principal import principal
from tokenry.ops.ragged import Ragged, offsets
from tokenry.ops.similarity import unit
from tokenry.plugs.device import device_of
from tokenry.plugs.multi_vector import MultiVectorReader, is_multi_vector
from tokenry.plugs.token_windows import PlainReader, Window, WindowStates, windows
from tokenry.zoo import load, weights_hash
from tokenry.zoo.loading import check_name

Mode = Literal["document", "query"]
_MULTI = "multivector:"


@runtime_checkable
class Reader(Protocol):
    """A model that gives each token of a window a vector."""

    model: nn.Module
    tokenizer: Any
    room: int
    dimension: int
    pooled: int

    def read(self, parts: list[Window], mode: str) -> list[WindowStates]:
        """The states of windows, in order."""


@dataclass(frozen=True, slots=True)
class TokenTexts:
    """What an encoder made of texts.

    Attributes:
        tokens: Vectors of length one in float16, one list per text.
        spans: For each vector, where its token begins and ends in its text; equal where it stands
            for no part of it.
        pooled: One vector of length one per text, in float16; zeros for a text without tokens.
    """

    tokens: Ragged
    spans: Int[Tensor, "n 2"]
    pooled: Float[Tensor, "b p"]


@dataclass(frozen=True, eq=False, slots=True)
class TokenEncoder:
    """An encoder with all that changes its vectors.

    Args:
        name: Where the model came from.
        reader: The model.
        skip: Token ids that documents are indexed without.
        projection: Applied to token vectors before they are scaled to length one; None for none.

    Raises:
        UsageError: If the projection does not fit the model.
    """

    name: str
    reader: Reader
    skip: frozenset[int] = frozenset()
    projection: Float[Tensor, "d e"] | None = None

    def __post_init__(self) -> None:
        if self.projection is not None and len(self.projection) != self.reader.dimension:
            raise UsageError(
                f"{self.name}: the projection takes vectors of {len(self.projection)} dimensions, "
                f"the model gives {self.reader.dimension}."
            )

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        skip: Literal["punctuation", "nothing"] = "punctuation",
        projection: Float[Tensor, "d e"] | None = None,
        length: int | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> TokenEncoder:
        """An encoder of texts from the zoo, a folder or the Hub.

        A folder that sentence-transformers knows as a multi-vector model is read by it, with its
        own skip list and projection; anything else as a plain transformers encoder, whose last
        hidden state serves.

        Args:
            name: `zoo:NAME`, a folder, or a name on the Hub; `multivector:NAME` says that a name
                on the Hub is a multi-vector model.
            skip: Which tokens of documents a plain encoder leaves out.
            projection: As on the class.
            length: Most tokens that are read at once; None for what the model can.
            device: Where it computes.
            **kwargs: For `tokenry.zoo.load`.

        Raises:
            UsageError: If it cannot be loaded.
            MissingExtraError: If its package is not installed.
        """
        text, place = str(name), device_of(device)
        hub = text.removeprefix(_MULTI)
        if hub != text or is_multi_vector(Path(text).expanduser()):
            return cls(text, MultiVectorReader(hub, device, **kwargs), projection=projection)
        loaded = load(name, kind="text-encoder", **kwargs)
        model = loaded.model.to(place) if place else loaded.model  # type: ignore[arg-type]
        reader = PlainReader(model, loaded.processor, length)
        skipped = punctuation(loaded.processor) if skip == "punctuation" else frozenset()
        return cls(text, reader, skipped, projection)

    @staticmethod
    def check_name(name: str) -> None:
        """Refuse a name that `load` cannot load, as far as can be told at once.

        Raises:
            UsageError: If it is neither in the zoo nor a folder, and the Hub cannot have it or
                does not answer.
        """
        check_name(name.removeprefix(_MULTI))

    @property
    def dimension(self) -> int:
        """Length of a token vector."""
        return self.reader.dimension if self.projection is None else self.projection.shape[1]

    @property
    def pooled(self) -> int:
        """Length of a pooled vector."""
        return self.reader.pooled

    def fingerprint(self) -> dict[str, Any]:
        """All that the vectors depend on, as plain data; two encoders with one are the same."""
        skipped = json.dumps(sorted(self.skip))
        return {
            "model": weights_hash(self.reader.model),
            "reader": type(self.reader).__name__,
            "pooling": "mean",
            "dimension": self.dimension,
            "projection": None if self.projection is None else _hash(self.projection),
            "skip": hashlib.blake2b(skipped.encode(), digest_size=8).hexdigest(),
        }

    def encode(self, texts: Sequence[str], mode: Mode = "document") -> TokenTexts:
        """Token vectors, where the tokens stand, and pooled vectors.

        What is longer than the model reads is cut in windows of about the same length; nothing is
        left out. A text without tokens gets no vectors.

        Args:
            texts: Any strings.
            mode: Whether they are documents or queries; the skip list is for documents.
        """
        parts = windows(list(texts), self.reader.tokenizer, self.reader.room)
        states = self.reader.read(parts, mode)
        counts = torch.zeros(len(texts), dtype=torch.int64)
        totals, weights = torch.zeros(len(texts), self.pooled), torch.zeros(len(texts), 1)
        vectors: list[Tensor] = []
        spans: list[Tensor] = []
        for part, state in zip(parts, states, strict=True):
            stays = self._stays(state.ids, mode)
            vectors.append(self._projected(state.vectors[stays]).half())
            spans.append(state.spans[stays])
            counts[part.text] += int(stays.sum())
            totals[part.text] += state.total
            weights[part.text] += state.count
        values = torch.cat([torch.zeros(0, self.dimension).half(), *vectors])
        places = torch.cat([torch.zeros(0, 2, dtype=torch.int64), *spans])
        pooled = unit(totals / weights.clamp(min=1)).half()
        return TokenTexts(Ragged(values, offsets(counts.tolist())), places, pooled)

    def narrowed(self, texts: Iterable[str], dimension: int) -> TokenEncoder:
        """The same encoder with vectors of fewer dimensions, learned from texts.

        Args:
            texts: Documents such as those to be indexed, a few thousand tokens at least.
            dimension: How many dimensions stay.

        Raises:
            UsageError: If the texts hold too few tokens, or the encoder has a projection already.
        """
        if self.projection is not None:
            raise UsageError(f"{self.name}: has a projection already; load it without.")
        tokens = self.encode(list(texts)).tokens.values.float()
        return replace(self, projection=principal(tokens, dimension))

    def _stays(self, ids: Int[Tensor, " n"], mode: Mode) -> Bool[Tensor, " n"]:
        if mode == "query" or not self.skip:
            return torch.ones(len(ids), dtype=torch.bool)
        return ~torch.isin(ids, torch.tensor(sorted(self.skip)))

    def _projected(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        return unit(vectors if self.projection is None else vectors @ self.projection)


def punctuation(tokenizer: Any) -> frozenset[int]:
    """The tokens that are one punctuation mark of ASCII, alone or behind a space."""
    vocab = tokenizer.get_vocab()
    marks = [lead + mark for mark in string.punctuation for lead in ("", "Ġ", "▁")]
    return frozenset(vocab[mark] for mark in marks if mark in vocab)


def _hash(matrix: Float[Tensor, "d e"]) -> str:
    content = matrix.float().contiguous().numpy().tobytes()
    return hashlib.blake2b(content, digest_size=8).hexdigest()

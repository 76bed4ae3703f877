"""The contract of chunkers: a document in, stretches of it out, never copies of its text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import UsageError
from tokenry.method.base import In, Method
from tokenry.ops.spans import Offsets, Spans

Embed = Callable[[Sequence[str]], Float[np.ndarray, "n d"]]
"""Texts to vectors of length one."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Document:
    """What a chunker sees of a document.

    Attributes:
        text: Its characters.
        tokens: First character and end of each token, in order: what sizes are counted in.
        embed: Gives texts their vectors; None where no encoder was named.
    """

    text: str
    tokens: Int[np.ndarray, "t 2"]
    embed: Embed | None = None

    def vectors(self, who: str, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """The vectors of texts.

        Raises:
            UsageError: If no encoder was named.
        """
        if self.embed is None:
            raise UsageError(
                f"{who}: cuts where the meaning changes, and no encoder says where; name one, "
                "such as encoder='zoo:minilm-l6'."
            )
        return self.embed(texts)


@dataclass(frozen=True, kw_only=True)
class Chunker(Method):
    """Cuts a document into the stretches that are indexed and found as one.

    A chunk is (start, end) in characters, end left out. Every character that is not blank lies in
    a chunk; chunks are in reading order, and may overlap.
    """

    noun: ClassVar[str] = "chunker"
    embeds: ClassVar[bool] = False
    """Whether it needs vectors."""
    bounded: ClassVar[bool] = True
    """Whether no chunk has more than `size` tokens."""

    size: Annotated[int, In(1, 1_000_000), "most tokens of a chunk"] = 200

    @abstractmethod
    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none.

        Raises:
            UsageError: If vectors are needed and no encoder was named, or settings contradict each
                other.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkScores:
    """What retrieved chunks come to for one question; all between 0 and 1.

    Attributes:
        precision: Share of what came back that is evidence.
        recall: Share of the evidence that came back.
        iou: What came back of the evidence over all that came back or should have.
        omega: The IoU of a retrieval of exactly the chunks that hold evidence.
        retrieved: How many chunks were looked at.
    """

    precision: float
    recall: float
    iou: float
    omega: float
    retrieved: int


@dataclass(frozen=True, kw_only=True)
class ChunkMeasure(Method):
    """Compares the chunks that were retrieved for a question with its evidence."""

    noun: ClassVar[str] = "measure of chunks"

    @abstractmethod
    def in_unit(self, some: Spans, tokens: Sequence[Offsets]) -> Spans:
        """Spans of characters in the unit that is measured, given each document's tokens."""

    @abstractmethod
    def needed(self, chunks: Spans, evidence: Spans) -> int:
        """How many chunks `measure` looks at."""

    @abstractmethod
    def measure(self, ranked: Spans, chunks: Spans, evidence: Spans) -> ChunkScores:
        """What the first chunks of a ranking come to.

        Args:
            ranked: Retrieved chunks, the best first; at least `needed` if there are so many.
            chunks: All chunks.
            evidence: The stretches that answer the question.

        Raises:
            UsageError: If there is no evidence.
        """

"""Texts written with vocabularies: `Usage` of each category, read once, piece by piece."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from tokenry.data.streams import Piece, stream
from tokenry.errors import DataError
from tokenry.method import Usage, Vocab
from tokenry.progress import track

BATCH = 2**20
"""Bytes that are written at once; what they need in memory is some fifty times as much."""
SAMPLE = 2**18
"""Tokens of each category that are kept in order."""
WORDS = 2**22
"""Bytes of each category whose words are counted."""
PARTS = 10
"""Parts that their counts are kept in."""

_RUN = re.compile(rb"\S+")


def usage(vocabs: Sequence[Vocab], texts: Any, *, words: bool = False) -> list[list[Usage]]:
    """How texts are written with vocabularies.

    The texts are read once, in pieces: memory does not grow with them, but by a few bytes for each
    text and for each different word.

    Args:
        vocabs: The vocabularies.
        texts: See `tokenry.data.streams.stream`.
        words: Whether to count the words that the tokenizers split texts into, of the first
            `WORDS` bytes of each category; they take as long as the tokens.

    Returns:
        For each vocabulary the usage of each category, in the order in which they came.

    Raises:
        DataError: If something cannot be read, a category is empty, or nothing was written.
        UsageError: If `texts` is nothing that holds texts.
    """
    shapes = [_Shape(vocab) for vocab in vocabs]
    found: dict[str, list[_Tally]] = {}
    for batch in track(_batches(stream(texts)), "reading", unit="MB"):
        category = batch[0].category
        if category not in found:
            found[category] = [_Tally(*pair) for pair in zip(vocabs, shapes, strict=True)]
        for tally in found[category]:
            tally.add(batch, words)
    if not found:
        raise DataError("texts: there are none; give at least one.")
    return [
        [tallies[number].usage(category) for category, tallies in found.items()]
        for number in range(len(vocabs))
    ]


def usage_of_ids(sequences: Iterable[Any], size: int, category: str = "ids") -> Usage:
    """Usage of any stream of tokens, such as the codes of images; of texts nothing is known.

    Args:
        sequences: Token ids in order, a sequence for each picture or text.
        size: One more than the largest id.
        category: What to call them.

    >>> usage_of_ids([[0, 2], [2]], 3).counts.tolist()
    [1, 0, 2]
    """
    rows = [np.asarray(one, dtype=np.int32) for one in sequences]
    counts = sum((np.bincount(row, minlength=size) for row in rows), np.zeros(size, dtype=np.int64))
    return Usage(
        category=category,
        counts=counts,
        texts=len(rows),
        characters=0,
        size=0,
        words={},
        sequences=rows,
    )


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Neighbours of one category that are about `BATCH` bytes together."""
    for _, group in groupby(pieces, key=lambda piece: piece.category):
        batch: list[Piece] = []
        size = 0
        for piece in group:
            batch.append(piece)
            size += len(piece.text)
            if size >= BATCH:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


class _Shape:
    """Where tokens begin and end words: `runs` of other than blanks, and what stands at the ends.

    A token that spells nothing, such as the unknown one, stands for something within a word.
    """

    def __init__(self, vocab: Vocab) -> None:
        spelled = [b"?" if one is None else one for one in vocab.spelled]
        self.runs: Int[np.ndarray, " v"] = np.array([len(_RUN.findall(s)) for s in spelled])
        self.opens: Bool[np.ndarray, " v"] = np.array([not s[:1].strip() for s in spelled])
        self.closes: Bool[np.ndarray, " v"] = np.array([not s[-1:].strip() for s in spelled])

    def words(self, ids: Int[np.ndarray, " n"], ends: Int[np.ndarray, " t"]) -> tuple[int, int]:
        """Words between blanks that are one token, and those that are several.

        A word goes on from one token to the next where neither has a blank there and no text
        ends. A word of three tokens goes on twice, but only once from a token where it begins.

        Args:
            ids: Tokens of several texts.
            ends: How many tokens there are up to the end of each text.
        """
        runs = self.runs[ids]
        goes_on = ~self.closes[ids][:-1] & ~self.opens[ids][1:]
        goes_on[ends[(ends > 0) & (ends < len(ids))] - 1] = False
        inner = np.zeros_like(goes_on)
        inner[1:] = goes_on[:-1] & (runs[1:-1] == 1)
        split = int((goes_on & ~inner).sum())
        return int(runs.sum()) - int(goes_on.sum()) - split, split


class _Tally:
    """What was written so far in one category with one vocabulary."""

    def __init__(self, vocab: Vocab, shape: _Shape) -> None:
        self._vocab, self._shape = vocab, shape
        self._counts = np.zeros(len(vocab), dtype=np.int64)
        self._lengths: list[tuple[int, int]] = []
        self._names: list[str] = []
        self._sequences: list[Int[np.ndarray, " n"]] = []
        self._kept = 0
        self._parts: list[Counter[bytes]] = [Counter() for _ in range(PARTS)]
        self._sums: Counter[str] = Counter()
        self._seconds = 0.0

    def add(self, batch: Sequence[Piece], words: bool) -> None:
        """Write some more texts."""
        texts = [piece.text for piece in batch]
        start = time.perf_counter()
        written = self._vocab.scribe.encode(texts)
        self._seconds += time.perf_counter() - start
        rows = [np.array(one, dtype=np.int32) for one in written]
        ids = np.concatenate(rows)
        self._counts += np.bincount(ids, minlength=len(self._vocab))
        sizes = [len(text.encode()) for text in texts]
        if words and self._sums["size"] < WORDS:
            for number, text in enumerate(texts, len(self._lengths)):
                self._parts[number % PARTS].update(self._vocab.scribe.words(text))
        for row in rows:
            if self._kept < SAMPLE:
                self._sequences.append(row[: SAMPLE - self._kept].copy())
                self._kept += len(row)
        self._lengths += [(size, len(row)) for size, row in zip(sizes, rows, strict=True)]
        self._names += [piece.name for piece in batch]
        whole, split = self._shape.words(ids, np.cumsum([len(row) for row in rows]))
        self._sums.update(
            size=sum(sizes),
            characters=sum(map(len, texts)),
            blank_words=sum(len(text.split()) for text in texts),
            whole_words=whole,
            split_words=split,
            broken=sum(piece.broken for piece in batch),
        )

    def usage(self, category: str) -> Usage:
        """What was written."""
        names = ("characters", "size", "blank_words", "whole_words", "split_words", "broken")
        return Usage(
            category=category,
            counts=self._counts,
            texts=len(self._lengths),
            words=dict(sum(self._parts, Counter())),
            sequences=tuple(self._sequences),
            lengths=np.array(self._lengths, dtype=np.int64),
            names=tuple(self._names),
            parts=tuple(dict(part) for part in self._parts if part),
            seconds=self._seconds,
            **{name: self._sums[name] for name in names},
        )

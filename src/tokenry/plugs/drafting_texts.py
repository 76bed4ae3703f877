"""The texts of a batch while they are written, and what is noted of each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LEAD = 2
"""Tokens that a row is ahead of the slowest one of its batch, as far as they count."""


@dataclass(slots=True)
class Row:
    """One text of the batch.

    Attributes:
        index: Its place in the batch.
        start: Where it starts, behind its padding.
        prompt: Where its prompt ends.
        stop: Where it ends so far.
        end: Where it was told to end; None while it was not.
        drafted: Which of its tokens came from a draft.
        scores: What each token was chosen by, where that was asked for.
        logits: The same before the processors.
        scratch: What the drafter noted of this text.
    """

    index: int
    start: int
    prompt: int
    stop: int
    end: int | None = None
    drafted: list[int] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    scratch: dict[str, Any] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """How many tokens were written so far."""
        return self.stop - self.prompt


def reached(rows: Sequence[Row]) -> float:
    """So many passes one by one would have brought these rows as far.

    A batch takes as many of them as its longest text, so that only the slowest row counts: what
    the others are ahead of it saves nothing before it has caught up.
    """
    going = [row.written for row in rows if row.end is None]
    return float(min(going) if going else max(row.written for row in rows))


def parted(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows whose next tokens count, and those that are too far ahead."""
    goal = min(row.written for row in rows) + LEAD
    return [row for row in rows if row.written < goal], [row for row in rows if row.written >= goal]


class Texts:
    """The tokens of all rows, on the model's device and, for drafters, in main memory.

    Args:
        ids: The prompts.
        real: False where one is padding; None when none is.
        limit: Most tokens of a text.
        sources: What an encoder read for each row, None where that was no text; None for a model
            without an encoder.

    Attributes:
        rows: The rows.
        limit: Most tokens of a text.
        device: Where the model is.
    """

    def __init__(
        self,
        ids: Int[Tensor, "b n"],
        real: Bool[Tensor, "b n"] | None,
        limit: int,
        sources: Sequence[Int[Tensor, " _"] | None] | None = None,
    ) -> None:
        b, n = ids.shape
        starts = [0] * b if real is None else real.int().argmax(1).tolist()
        self.rows = [Row(i, start, n, n) for i, start in enumerate(starts)]
        self.limit, self._sources = limit, sources
        self._ids = ids.new_zeros(b, max(limit, n))
        self._ids[:, :n] = ids
        self.device = ids.device
        self._near = self._ids if ids.device.type == "cpu" else self._ids.cpu()

    def write(self, row: Row, token: int) -> None:
        """Put a token behind the row."""
        self._ids[row.index, row.stop] = token
        if self._near is not self._ids:
            self._near[row.index, row.stop] = token
        row.stop += 1

    def take_back(self, row: Row, count: int) -> None:
        """Take the last tokens of a row back, and what was noted of them."""
        row.stop -= count
        row.drafted = [place for place in row.drafted if place < row.stop]
        written = row.stop - row.prompt
        del row.scores[written:], row.logits[written:]
        if row.end is not None and row.end > row.stop:
            row.end = None

    def prefix(self, row: Row) -> Int[Tensor, "1 n"]:
        """The row as `generate` knows it: with its padding, on the model's device."""
        return self._ids[row.index : row.index + 1, : row.stop]

    def text(self, row: Row) -> Int[Tensor, " n"]:
        """The row without its padding, in main memory."""
        return self._near[row.index, row.start : row.stop]

    def source(self, row: Row) -> Int[Tensor, " s"] | None:
        """What its encoder read, or its prompt, in the same way."""
        if self._sources is not None:
            return self._sources[row.index]
        return self._near[row.index, row.start : row.prompt]

    def last(self) -> list[int]:
        """The last token of each row."""
        return [int(self._near[row.index, row.stop - 1]) for row in self.rows]

    def token(self, row: Row, place: int) -> int:
        """One token of a row."""
        return int(self._near[row.index, place])

    def sequences(self, pad: int) -> Int[Tensor, "b n"]:
        """All texts up to the end of the longest, padded behind."""
        ends = [row.stop if row.end is None else row.end for row in self.rows]
        ids = self._ids[:, : max(ends)].clone()
        for row, end in zip(self.rows, ends, strict=True):
            ids[row.index, end:] = pad
        return ids


class Stream:
    """Hands tokens to a streamer as `generate` does: one per row at a time, once all have it.

    Args:
        streamer: Of `generate`; None for none.
        texts: What is written.
        pad: What a row that has ended is padded with.
    """

    def __init__(self, streamer: Any, texts: Texts, pad: int) -> None:
        self._streamer, self._texts, self._pad = streamer, texts, pad
        self._shown = min(row.stop for row in texts.rows)

    def show(self) -> None:
        """Hand on what all rows have."""
        if self._streamer is None:
            return
        rows = self._texts.rows
        going = [row.stop for row in rows if row.end is None]
        ready = min(going) if going else max(row.stop for row in rows)
        for place in range(self._shown, ready):
            tokens = [
                self._texts.token(row, place) if place < row.stop else self._pad for row in rows
            ]
            self._streamer.put(torch.tensor(tokens))
        self._shown = max(self._shown, ready)

    def end(self) -> None:
        """Say that there is no more."""
        if self._streamer is not None:
            self._streamer.end()


def stacked(notes: list[list[Tensor]]) -> tuple[Float[Tensor, "b v"], ...]:
    """What was noted of each row token by token, as one tensor per token; zeros past an end."""
    count = max(len(row) for row in notes)
    none = torch.zeros_like(next(row[0] for row in notes if row))
    return tuple(
        torch.cat([row[i] if i < len(row) else none for row in notes]) for i in range(count)
    )

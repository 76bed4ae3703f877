"""Needles and threads in a haystack: what in a long text can the model still find or follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenry.compare.tasks.answers import Answers
from tokenry.compare.tasks.base import Pass, Scores
from tokenry.ops.answers import accuracy


class Needles(Answers):
    """Share of the hidden values that the model names, at several depths and lengths.

    The data are the items of a probe, `data="needle-threading"`, or other texts with a question
    and its answers, all of which are asked for in their order. What an example's `meta` says, such
    as its depth and length, is its label in the rows and in the report.

    Args:
        query: "aware" or "free"; see `TextTask`.
        max_tokens: Most tokens of the text; longer ones are left out.
        answer_tokens: Most tokens of a reply.

    Raises:
        UsageError: If one is out of range.
    """

    slug = "needles"
    title = "Needles found"
    metric = "values found"
    binary = False
    grid = ("depth", "length")
    explanation = (
        "Share of the values hidden at some depth of a long text that the model names. "
        "Query-aware: the cache is cut when text and question were read. Query-free: the text is "
        "read and the cache cut before the question comes."
    )

    def conditions(self, example: Any) -> dict[str, str]:
        """The length of the text, the depth of the needle, and what else the data says."""
        return dict(example.meta)

    def label(self, example: Any) -> str:
        """Where the needles are, in the words of the data."""
        where = ", ".join(f"{name} {value}" for name, value in example.meta.items())
        return where or super().label(example)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """The share of the answers that stand at their place in the reply."""
        replies = zip(self.replies(seen), examples, strict=True)
        return Scores([accuracy(reply, example.answers) for reply, example in replies])

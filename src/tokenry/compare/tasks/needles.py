"""Needles and threads in a haystack: where in a long text can the model still find something."""

from __future__ import annotations

from typing import Any

from tokenry.compare.tasks.answers import Answers


class Needles(Answers):
    """Whether the model finds what is hidden in a long text, at several depths and lengths.

    The data are texts with a question and its answers, such as those of the probe
    `needle-threading`: `data="needle-threading"`. An example is labelled by what its `meta` says,
    such as its depth and length.

    Args:
        query: "aware" or "free"; see `TextTask`.
        max_tokens: Most tokens of the text.
        answer_tokens: Most tokens of a reply.

    Raises:
        UsageError: If one is out of range.
    """

    slug = "needles"
    title = "Needles found"
    metric = "needles found"
    explanation = (
        "Whether the model names what is hidden at some depth of a long text. Query-aware: the "
        "cache is cut when text and question were read. Query-free: the text is read and the cache "
        "cut before the question comes."
    )

    def label(self, example: Any) -> str:
        """Where the needle is, in the words of the data."""
        where = ", ".join(f"{name} {value}" for name, value in example.meta.items())
        return where or super().label(example)

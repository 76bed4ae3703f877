"""Several columns as one text."""

from __future__ import annotations

from collections.abc import Sequence

SEPARATOR = "</s>"
"""What stands between columns where the encoder does not say what its tokenizer writes."""


def joined(columns: Sequence[Sequence[str | None]], separator: str) -> list[str | None]:
    """The columns of each row with a separator between them, empty ones too; None where all are.

    >>> joined([["x", None], [None, None]], "</s>")
    ['x</s>', None]
    """
    rows = zip(*columns, strict=True)
    return [separator.join(one or "" for one in row) if any(row) else None for row in rows]

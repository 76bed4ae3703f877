"""Tables as plain text, for what findings print."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Rows of text as lines of a table.

    Args:
        rows: Their cells; as many in each.
        left: So many columns begin below each other; the others end there.

    >>> aligned([("way", "p50"), ("bm25", "9 ms")], left=1)
    ['way    p50', 'bm25  9 ms']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

"""Counts as a person writes them."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A count and what is counted.

    Args:
        count: How many there are.
        one: What one of them is called.
        many: What several are called; the same with an s when not given.

    >>> counted(1, "row"), counted(1200, "row"), counted(0, "row is", "rows are")
    ('1 row', '1,200 rows', '0 rows are')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"

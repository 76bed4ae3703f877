"""What a cell says of a pair: the same, not the same, or nothing."""

from __future__ import annotations

from typing import Any

from tokenry.errors import UsageError
from tokenry.tables.normalise import text_of

YES = ("1", "true", "yes", "match", "y", "t")
NO = ("0", "false", "no", "non-match", "non match", "n", "f")


def truth(value: Any, who: str = "tune") -> bool | None:
    """What a label says; None where it is empty.

    Args:
        value: A truth value, a number or a word; 1.0 is 1, for whoever wrote the table had gaps.
        who: The verb, for messages.

    Raises:
        UsageError: If it is neither yes nor no.

    >>> truth("1"), truth(0.0), truth("1.0"), truth(True), truth(None)
    (True, False, True, True, None)
    """
    word = (text_of(value) or "").strip().casefold().removesuffix(".0")
    if not word:
        return None
    if word in YES or word in NO:
        return word in YES
    raise UsageError(
        f"{who}: the label {value!r} is neither the same nor not; give {' or '.join(YES)}, and "
        f"{' or '.join(NO)}."
    )

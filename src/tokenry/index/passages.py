"""The part of a document that is shown, and what in it is marked."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from tokenry.index.documents import Hit


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text that is safe to print.

    Attributes:
        text: The part; line breaks are spaces, and what would steer a terminal is replaced.
        marks: Where matches begin and end in it, and how near they are.
        cut: Whether text stands before it, and behind it.
    """

    text: str
    marks: tuple[tuple[int, int, float], ...]
    cut: tuple[bool, bool]


def passage(hit: Hit, width: int = 300) -> Passage:
    """The part of a hit with the most similarity in its matches.

    Args:
        hit: What a search found.
        width: Most letters.
    """
    spans = sorted((*match.document, match.similarity) for match in hit.matches)
    start = _start(spans, width)
    start = max(0, min(start - width // 8, len(hit.text) - width))
    stop = min(len(hit.text), start + width)
    marks = tuple((a - start, b - start, s) for a, b, s in spans if start <= a and b <= stop)
    return Passage(printable(hit.text[start:stop]), marks, (start > 0, stop < len(hit.text)))


def _start(spans: list[tuple[int, int, float]], width: int) -> int:
    """Where the window begins whose matches sum to most."""
    best, found = 0.0, 0
    for first, _, _ in spans:
        reach = first + width * 7 // 8
        held = sum(s for a, b, s in spans if first <= a and b <= reach)
        if held > best:
            best, found = held, first
    return found


def printable(text: str) -> str:
    r"""The text with as many letters, none of which moves a cursor, colours or turns around.

    >>> printable("a\x1b[31mb\nc") == "a\ufffd[31mb c"
    True
    """
    return "".join(_safe(letter) for letter in text)


def _safe(letter: str) -> str:
    if letter.isspace():
        return " "
    return "\ufffd" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter

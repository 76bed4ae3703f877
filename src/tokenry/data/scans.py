"""Texts as a scanner and a hurried editor leave them: letters confused, ends cut."""

from __future__ import annotations

import random

from tokenry.errors import UsageError

CONFUSED = {
    "a": "oae", "b": "hl6", "c": "eoc", "d": "cl", "e": "co", "f": "tl", "g": "q9", "h": "bn",
    "i": "lj1", "l": "1iI", "m": "nr", "n": "ur", "o": "0ce", "r": "nt", "s": "5a", "t": "fl",
    "u": "nv", "v": "uy", "w": "vu", "y": "v", "B": "8R", "G": "C6", "I": "l1", "O": "0Q",
    "S": "58", "0": "O", "1": "lI", "5": "S", ".": ",", ",": ".'",
}  # fmt: skip
"""What characters are read as; any other becomes a dot or a blank."""


def scanned(
    text: str, draw: random.Random, *, noise: float = 0.05, kept: float = 1.0, line: int = 0
) -> str:
    """A text as it comes out of a scanner.

    Args:
        text: The text.
        draw: Where chance comes from; the same state gives the same text.
        noise: Share of the characters that are misread, in [0, 1].
        kept: Share of the words that an editor left, from the beginning, in (0, 1].
        line: Characters of a line, at the end of which words are split; 0 for no lines.

    Raises:
        UsageError: If a share is out of range.

    >>> scanned("the same story again", random.Random(1), noise=0.2, kept=0.8)
    'fhe sane story'
    """
    if not 0 <= noise <= 1 or not 0 < kept <= 1:
        raise UsageError(
            f"scanned: noise={noise} is outside [0, 1], or kept={kept} outside (0, 1]."
        )
    words = text.split()
    whole = " ".join(words[: max(1, round(kept * len(words)))])
    read = [_misread(c, draw) if draw.random() < noise else c for c in whole]
    return "".join(read) if not line else _split("".join(read), line)


def _misread(character: str, draw: random.Random) -> str:
    return draw.choice(CONFUSED.get(character, " ."))


def _split(text: str, line: int) -> str:
    """Lines of a fixed width; a word that is cut gets a hyphen."""
    lines = []
    for start in range(0, len(text), line):
        part = text[start : start + line]
        inside = part[-1:].isalnum() and text[start + line : start + line + 1].isalnum()
        lines.append(f"{part}-" if inside else part)
    return "\n".join(lines)

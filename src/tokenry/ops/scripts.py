"""Scripts of characters, and small letters as a language writes them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

_DOTLESS = str.maketrans({"I": "ı", "İ": "i"})  # noqa: RUF001
_TURKIC = ("tr", "az")


@cache
def script_of(character: str) -> str | None:
    """The first word of a character's Unicode name; None where it has no name.

    >>> script_of("ж")
    'CYRILLIC'
    """
    return unicodedata.name(character, "").partition(" ")[0] or None


def lowered(text: str, language: str) -> str:
    """Small letters; in Turkish and Azeri those of I and İ are ı and i.

    >>> lowered("IŞIK İLE", "tr"), lowered("IT", "en")
    ('ışık ile', 'it')
    """
    return (text.translate(_DOTLESS) if language in _TURKIC else text).lower()


def letters_by_script(texts: Mapping[str, int] | Iterable[str]) -> Counter[str]:
    """How many letters there are of each script.

    Args:
        texts: Texts, or how often each occurs.

    >>> letters_by_script({"да": 2, "no!": 1})
    Counter({'CYRILLIC': 4, 'LATIN': 2})
    """
    letters: Counter[str] = Counter()
    if isinstance(texts, Mapping):
        for text, weight in texts.items():
            for character in text:
                letters[character] += weight
    else:
        letters.update("".join(texts))
    found: Counter[str] = Counter()
    for character, weight in letters.items():
        if character.isalpha():
            found[script_of(character) or "unnamed"] += weight
    return found

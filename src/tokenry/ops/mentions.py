"""Where known names stand in a text, and the windows that are read around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tokenry.errors import MissingExtraError, UsageError
from tokenry.ops.scripts import script_of

OPEN, CLOSE = "<ENT>", "</ENT>"
"""What stands around a mention; an encoder of mentions has each as one token."""

_WORD = re.compile(r"\S+")
_NO_SPACES = frozenset(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))


class Found(NamedTuple):
    """A name in a text.

    Attributes:
        start: Its first character.
        end: Where it ends.
        entities: All that it may mean, in rising order.
    """

    start: int
    end: int
    entities: tuple[int, ...]


class Names:
    """The names of entities, to be found in any text in one pass over it.

    Args:
        of_entity: The names of each entity; empty ones are left out.

    Raises:
        MissingExtraError: If pyahocorasick is not installed.

    >>> names = Names([["Paris"], ["Paris", "Paris, Texas"]])
    >>> names.find("To Paris, Texas, not Paris or Parisot.")
    [Found(start=3, end=15, entities=(1,)), Found(start=21, end=26, entities=(0, 1))]

    Source: Aho and Corasick 1975.
    """

    def __init__(self, of_entity: Sequence[Iterable[str]]) -> None:
        try:
            import ahocorasick
        except ImportError as error:
            raise MissingExtraError("finding names", 'pip install "tokenry[linking]"') from error
        meant: dict[str, set[int]] = {}
        for entity, own in enumerate(of_entity):
            for name in own:
                if name:
                    meant.setdefault(name, set()).add(entity)
        self.meant = {name: tuple(sorted(entities)) for name, entities in meant.items()}
        self._tree = ahocorasick.Automaton()
        for name in self.meant:
            self._tree.add_word(name, name)
        self._tree.make_automaton()

    def find(self, text: str) -> list[Found]:
        """The names in a text, in order; none within a word.

        Where names overlap, the longest wins, and of equally long ones the first.
        """
        if not self.meant:
            return []
        found = [(at + 1 - len(name), at + 1) for at, name in self._tree.iter(text)]
        whole = [span for span in found if _whole(text, *span)]
        taken: list[tuple[int, int]] = []
        free = bytearray(len(text))
        for start, end in sorted(whole, key=lambda span: (span[0] - span[1], span[0])):
            if not any(free[start:end]):
                free[start:end] = b"\1" * (end - start)
                taken.append((start, end))
        return [Found(start, end, self.meant[text[start:end]]) for start, end in sorted(taken)]


def window(text: str, start: int, end: int, words: int) -> tuple[str, str, str]:
    """What is read around a stretch of a text: so many words before it, itself, as many after it.

    The stretch is never cut. A word that it touches is kept as it is.

    Raises:
        UsageError: If the stretch does not lie in the text, or is empty.

    >>> window("We flew to Paris, Texas, in May.", 11, 16, 2)
    ('flew to ', 'Paris', ', Texas,')
    """
    if not 0 <= start < end <= len(text):
        raise UsageError(
            f"window: characters {start} to {end} of a text of {len(text)}; a mention begins "
            "before it ends, and lies in its text."
        )
    before = [match.start() for match in _WORD.finditer(text[:start])]
    after = [match.end() for match in _WORD.finditer(text[end:])]
    first = before[-words] if 0 < words < len(before) else (0 if words else start)
    last = end + after[words - 1] if 0 < words < len(after) else (len(text) if words else end)
    return text[first:start], text[start:end], text[end:last]


def _whole(text: str, start: int, end: int) -> bool:
    """Whether a name is no part of a longer word; some scripts have no spaces between words."""
    ends = ((start, start - 1), (end - 1, end))
    return not any(
        0 <= beyond < len(text) and _joined(text[inside]) and _joined(text[beyond])
        for inside, beyond in ends
    )


def _joined(character: str) -> bool:
    return character.isalnum() and script_of(character) not in _NO_SPACES

"""How often English words and pairs of words are written, from the package wordsegment."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tokenry.errors import MissingExtraError

WORDS_ON_THE_WEB = 1024908267229.0
"""All words that the counts were taken from, those too rare to be listed among them."""

Counts = dict[str, float]


@lru_cache(maxsize=1)
def word_counts() -> tuple[Counts, Counts]:
    """Counts of words, and of pairs of words with a space between them; all in lower case.

    They are the most frequent ones of Google's trillion words of the web (Brants and Franz 2006).

    Raises:
        MissingExtraError: If wordsegment is not installed.
    """
    found = find_spec("wordsegment")
    if found is None or found.origin is None:
        raise MissingExtraError("counts of words", 'pip install "tokenry[linking]"')
    # Read here, not there: the package leaves its files open.
    folder = Path(found.origin).parent
    return _read(folder / "unigrams.txt"), _read(folder / "bigrams.txt")


def _read(path: Path) -> Counts:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.rsplit("\t", 1) for line in lines)
    return {word: float(count) for word, count in rows}

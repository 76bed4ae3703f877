"""Stimuli of verbatim memory: lists of nouns, texts between them, and where the nouns stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

Span = tuple[int, int]


@cache
def _stimuli() -> Any:
    return json.loads(Path(__file__).with_name("stimuli.json").read_text(encoding="utf-8"))


def base_lists(pool: Literal["arbitrary", "semantic"], seed: int = 0) -> list[list[str]]:
    """23 lists of ten nouns, each noun in one of them.

    Args:
        pool: "semantic": the nouns of one category; "arbitrary": of ten different ones.
        seed: Of the order, and of what stands together.
    """
    rng = Random(f"{seed}/{pool}")  # noqa: S311 - lists, not secrets
    nouns = _stimuli()["nouns"].values()
    categories = [rng.sample(words.split(), 10) for words in nouns]
    if pool == "semantic":
        return categories
    offsets = rng.sample(range(len(categories)), 10)
    return [
        [categories[(i + offset) % len(categories)][j] for j, offset in enumerate(offsets)]
        for i in range(len(categories))
    ]


def shifted(words: Sequence[str], shift: int) -> list[str]:
    """The last `shift` words come first.

    >>> shifted(["a", "b", "c"], 1)
    ['c', 'a', 'b']
    """
    cut = len(words) - shift
    return [*words[cut:], *words[:cut]]


def size(text: str) -> int:
    """Words and punctuation marks of a text."""
    return len(re.findall(r"\w+|[^\w\s]", text))


@cache
def _passage(kind: str, delay: int) -> str:
    """The first sentences that together have `delay` words and marks."""
    text = ""
    for sentence in _stimuli()[kind]:
        if size(text) >= delay:
            break
        text = f"{text} {sentence}"
    return text


def between(context: str, delay: int, rng: Random) -> str:
    """The text between two lists, with the space before it: see `VerbatimMemory`."""
    if context == "short":
        return ""
    text = _passage("incongruent" if context == "incongruent" else "intact", delay)
    if context == "scrambled":
        words = text.split()
        return "".join(f" {word}" for word in rng.sample(words, len(words)))
    return text


def permuted(rng: Random, words: list[str]) -> list[str]:
    """The same words in another order."""
    found = words
    while found == words:
        found = rng.sample(words, len(words))
    return found


def spans(words: Sequence[str], start: int) -> Iterator[Span]:
    """Where the words of a list stand that begins at `start`."""
    for word in words:
        yield start, start + len(word)
        start += len(word) + len(", ")

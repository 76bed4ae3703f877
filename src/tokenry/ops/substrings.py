"""A random vocabulary for a piece of text: its substrings, scored, with noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

SPACES = b" \n\t"
RARE = -1e5
"""Log-probability of what the noise has made impossible."""


def substring_scores(
    words: Mapping[bytes, int], *, stride: int = 4, longest: int = 15
) -> Counter[bytes]:
    """Substrings of words, each with how many bytes of the text it covers.

    Args:
        words: Words of a text with how often each occurs.
        stride: Substrings begin at every so many-th character of a word.
        longest: Most bytes of a substring.

    >>> dict(substring_scores({b"abcde": 2}, longest=2))
    {b'a': 2, b'ab': 4, b'e': 2}

    Source: Minixhofer et al. 2024, section 3.1.
    """
    scores: Counter[bytes] = Counter()
    for word, count in words.items():
        starts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80]
        for start in starts[::stride]:
            for end in range(start + 1, min(start + longest, len(word)) + 1):
                scores[word[start:end]] += count * (end - start)
    return scores


def sample_vocabulary(
    scores: Mapping[bytes, int],
    size: int,
    draw: np.random.Generator,
    *,
    noise: float = 1e-5,
    spread: float = 4.0,
    longest: int = 15,
) -> list[tuple[bytes, float]]:
    r"""Pieces with log-probabilities, for a Unigram model that can write all bytes.

    The shares of the scores get noise $N(0, \sigma^2)$ with $\sigma$ drawn from a log-normal
    distribution around `noise`, anew for each vocabulary: some vocabularies are made of what is
    frequent, others of almost anything. The largest stay, beside all single bytes and all runs of
    one kind of space.

    Args:
        scores: Of substrings, as `substring_scores` finds them.
        size: Pieces in all; at least the bytes and runs.
        draw: Where randomness comes from.
        noise: Median of the noise (paper: mu = ln 1e-5); 0 for none.
        spread: Of the logarithm of the noise (paper: 4).
        longest: Most letters of a run of spaces.

    >>> found = sample_vocabulary({b"the": 9, b"he": 4}, 393, np.random.default_rng(0), noise=0.0)
    >>> len(found), found[-1]
    (393, (b'he', -1.1786549963416462))

    Source: Minixhofer et al. 2024, section 3.1.
    """
    total = sum(scores.values()) or 1
    least = math.log(min(scores.values(), default=1) / total)
    pieces = {bytes([byte]): least for byte in range(256)}
    for space in SPACES:
        for first in SPACES:
            pieces |= {bytes([first, *[space] * n]): 0.0 for n in range(1, longest + 1)}
    texts = [text for text in scores if len(text) > 1 and sum(b in SPACES for b in text) < 2]
    shares = np.array([scores[text] for text in texts], dtype=float) / total
    if noise and len(texts):
        shares += draw.normal(0, draw.lognormal(math.log(noise), spread), len(texts))
    logs = np.where(shares > 0, np.log(np.maximum(shares, 1e-300)), RARE)
    for i in np.argsort(-logs, kind="stable")[: max(0, size - len(pieces))]:
        pieces[texts[i]] = float(logs[i])
    return list(pieces.items())

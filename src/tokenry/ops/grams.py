"""Runs of characters of texts, weighed by how rare they are (TF-IDF)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import sparse

from tokenry.errors import UsageError

LONGEST = 3
_BITS = 21  # of a code point
_STEP = 1 << 15  # texts that are taken apart at once


class Grams(NamedTuple):
    """Two lists of texts as rows of one length, over the grams of both.

    Attributes:
        left: A row of weights per text; its length as a vector is 1.
        right: The same; the same object where both lists are the same object.
        codes: The gram of each column, in order; `spelled` reads them.
    """

    left: sparse.csr_array
    right: sparse.csr_array
    codes: Int[np.ndarray, " v"]


def tfidf(left: Sequence[str], right: Sequence[str], n: int = 3) -> Grams:
    r"""The weights of all runs of n characters, a space before and after each text included.

    $w_{tg} \propto f_{tg} (\ln \frac{1 + N}{1 + n_g} + 1)$ with $f_{tg}$ the times that gram g
    stands in text t, $n_g$ the texts that hold it among all N of both lists. No weight depends on
    the order of the texts.

    Args:
        left: Some texts, none empty.
        right: Others; the same object to compare a list with itself, which counts once.
        n: Characters of a gram, from 1 to 3.

    Raises:
        UsageError: If n is out of range.

    >>> found = tfidf(["ab"], ["ab", "cd"])
    >>> spelled(found.codes, 3), (found.left @ found.right.T).toarray().round(3).tolist()
    ([' ab', ' cd', 'ab ', 'cd '], [[1.0, 0.0]])
    """
    if not 1 <= n <= LONGEST:
        raise UsageError(f"tfidf: n={n} is outside [1, {LONGEST}].")
    lists = [left] if left is right else [left, right]
    codes = np.zeros(0, np.int64)
    for texts in lists:
        for _, _, runs in _runs(texts, n):
            codes = np.union1d(codes, runs)
    counts = [_counts(texts, n, codes) for texts in lists]
    held = sum(np.bincount(one.indices, minlength=len(codes)) for one in counts)
    rarity = np.log((1 + sum(map(len, lists))) / (1 + held)) + 1
    for one in counts:
        one.data *= rarity[one.indices]
        lengths = np.sqrt(np.asarray(one.multiply(one).sum(axis=1)).ravel())
        one.data /= np.repeat(lengths, np.diff(one.indptr))
    return Grams(counts[0], counts[-1], codes)


def spelled(codes: Int[np.ndarray, " m"], n: int) -> list[str]:
    """The grams of codes."""
    mask = (1 << _BITS) - 1
    shifts = [_BITS * (n - 1 - place) for place in range(n)]
    return ["".join(chr((int(code) >> shift) & mask) for shift in shifts) for code in codes]


def _counts(texts: Sequence[str], n: int, codes: Int[np.ndarray, " v"]) -> sparse.csr_array:
    """How often each gram stands in each text."""
    parts = [sparse.csr_array((0, len(codes)))]
    for count, owners, runs in _runs(texts, n):
        place = owners, np.searchsorted(codes, runs)
        ones = np.ones(len(runs))
        parts.append(sparse.coo_array((ones, place), shape=(count, len(codes))).tocsr())
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _runs(
    texts: Sequence[str], n: int
) -> Iterator[tuple[int, Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]:
    """Of some thousand texts at a time: how many, the text of each gram, and its code."""
    for at in range(0, len(texts), _STEP):
        some = [f" {text} " for text in texts[at : at + _STEP]]
        owners = np.repeat(np.arange(len(some)), [len(text) for text in some])
        points = np.frombuffer("".join(some).encode("utf-32-le", "surrogatepass"), np.uint32)
        codes = np.zeros(max(0, len(points) - n + 1), np.int64)
        for place in range(n):
            codes = (codes << _BITS) | points[place : place + len(codes)]
        whole = owners[: len(codes)] == owners[n - 1 :]
        yield len(some), owners[: len(codes)][whole], codes[whole]

"""How far apart names are by the runs of characters that they share."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tokenry.ops.nearest import rounded
from tokenry.ops.segmentation import APOSTROPHES

Rows = Int[np.ndarray, " m"]
Names = Sequence[str | None]
Some = slice | Int[np.ndarray, "_"]


def plain(texts: Sequence[Any]) -> list[str | None]:
    """Names in lower case, with single spaces for punctuation; None where nothing is left.

    >>> plain(["  O'Brien & Co., Inc. ", "?", None])
    ['obrien co inc', None, None]
    """
    found = []
    for text in texts:
        bare = "" if text is None or text != text else unicodedata.normalize("NFKC", str(text))
        kept = [one if _kept(one) else " " for one in bare.casefold() if one not in APOSTROPHES]
        found.append(" ".join("".join(kept).split()) or None)
    return found


@lru_cache(maxsize=1 << 16)
def _kept(one: str) -> bool:
    return unicodedata.category(one)[0] not in "PC"


def grams(text: str, q: int) -> set[str]:
    """The runs of q characters; a shorter text is one run.

    >>> sorted(grams("banana", 2)), grams("x", 2)
    (['an', 'ba', 'na'], {'x'})
    """
    return {text[at : at + q] for at in range(max(1, len(text) - q + 1))} if text else set()


def incidences(sides: Iterable[Names], q: int) -> list[sparse.csr_array]:
    """Which name holds which run, one table for each side; the columns are the same runs."""
    columns: dict[str, int] = {}
    coded = [
        [[columns.setdefault(gram, len(columns)) for gram in grams(name or "", q)] for name in side]
        for side in sides
    ]
    return [_table(rows, len(columns)) for rows in coded]


def _table(rows: Sequence[Sequence[int]], width: int) -> sparse.csr_array:
    starts = np.r_[0, np.cumsum([len(row) for row in rows], dtype=np.int64)]
    held = np.fromiter((code for row in rows for code in row), np.int64, int(starts[-1]))
    ones = np.ones(len(held), np.int32)
    return sparse.csr_array((ones, held, starts), shape=(len(rows), max(1, width)))


class FuzzyDistance:
    """One minus the Jaccard index of two names' pairs of characters.

    Pairs of names that share too few runs of three characters are not looked at: their distance is
    1, as if nothing were shared. They must share a twentieth, rounded up, of those of the name that
    has fewer, so that it does not matter which side a name is on.

    Args:
        left: Names, None where there is none.
        right: Names.
        share: The share of runs of three that a pair must have in common; 0 looks at all.

    >>> far = FuzzyDistance(["abcd", None], ["abce", "xyz"])
    >>> far.tile(slice(0, 2), slice(0, 2)).tolist()
    [[0.5, 1.0], [nan, nan]]

    Source: Libgober and Jerzak 2025, fuzzy matching of the official software.
    """

    def __init__(self, left: Names, right: Names, share: float = 0.05) -> None:
        self.twos = incidences((left, right), 2)
        self.threes = incidences((left, right), 3)
        self.shape = (len(left), len(right))
        self.share = share

    def tile(self, rows: Some, columns: Some) -> Float[np.ndarray, "t u"]:
        """Distances of some left names from some right names; NaN where one is missing."""
        twos, threes = (
            (left[rows] @ right[columns].T).toarray() for left, right in (self.twos, self.threes)
        )
        sizes: list[Any] = [
            [np.diff(left[rows].indptr)[:, None], np.diff(right[columns].indptr)[None, :]]
            for left, right in (self.twos, self.threes)
        ]
        return self._far(twos, threes, *sizes)

    def pairs(self, left: Rows, right: Rows) -> Float[np.ndarray, " m"]:
        """Distances of given pairs."""
        shared: list[Any] = []
        sizes: list[Any] = []
        for ours, theirs in (self.twos, self.threes):
            some, others = ours[left], theirs[right]
            shared.append(np.asarray(some.multiply(others).sum(1)).reshape(-1))
            sizes.append([np.diff(some.indptr), np.diff(others.indptr)])
        return self._far(*shared, *sizes)

    def _far(
        self,
        twos: Int[np.ndarray, "*s"],
        threes: Int[np.ndarray, "*s"],
        size_two: Sequence[Int[np.ndarray, "*_"]],
        size_three: Sequence[Int[np.ndarray, "*_"]],
    ) -> Float[np.ndarray, "*s"]:
        whole = size_two[0] + size_two[1] - twos
        far = 1 - twos / np.maximum(whole, 1)
        least = np.ceil(self.share * np.minimum(*size_three))
        far = np.where(threes >= least, far, 1.0)
        return np.where((size_two[0] > 0) & (size_two[1] > 0), far, np.nan)


class VectorDistance:
    r"""The distance of learned vectors, $\sqrt{10^{-4} + |f - f'|^2 / 2}$.

    The vectors have length one, so that it is $\sqrt{10^{-4} + 1 - \cos}$: a hundredth for equal
    ones, 1 for such as have nothing in common.

    Args:
        left: Vectors of length one; NaN where there is no name.
        right: Vectors of length one.

    Source: Libgober and Jerzak 2025, official software, up to the scale.
    """

    def __init__(self, left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m d"]) -> None:
        self.left, self.right = left.astype(np.float64), right.astype(np.float64)
        self.shape = (len(left), len(right))

    def tile(self, rows: Some, columns: Some) -> Float[np.ndarray, "t u"]:
        """Distances of some left vectors from some right ones; NaN where one is missing."""
        return self._far(self.left[rows] @ self.right[columns].T)

    def pairs(self, left: Rows, right: Rows) -> Float[np.ndarray, " m"]:
        """Distances of given pairs."""
        return self._far((self.left[left] * self.right[right]).sum(1))

    @staticmethod
    def _far(cosines: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
        # Rounded, so that what is as far as the limit is so however the product was summed.
        return rounded(np.sqrt(1e-4 + np.maximum(0.0, 1 - cosines)))


class NameDistances:
    """Distances between lists of names: fuzzy ones, or those of vectors.

    Args:
        embed: Gives names vectors of length one; each name is asked for once. None for fuzzy ones.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], Float[np.ndarray, "n d"]] | None = None
    ) -> None:
        self.embed = embed
        self.known: dict[str, Float[np.ndarray, " d"]] = {}

    def between(self, ours: Sequence[str], theirs: Sequence[str]) -> FuzzyDistance | VectorDistance:
        """The distances of some names from others."""
        if self.embed is None:
            return FuzzyDistance(ours, theirs)
        fresh = [name for name in dict.fromkeys([*ours, *theirs]) if name not in self.known]
        if fresh:
            self.known.update(zip(fresh, self.embed(fresh), strict=True))
        return VectorDistance(self._rows(ours), self._rows(theirs))

    def _rows(self, names: Sequence[str]) -> Float[np.ndarray, "n d"]:
        width = len(next(iter(self.known.values()), ()))
        rows = [self.known[name] for name in names]
        return np.asarray(rows, dtype=np.float64).reshape(len(names), width)

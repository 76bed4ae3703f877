"""Near-duplicates: which texts or vectors are alike, without comparing all with all in memory.

Pairs are (first, second) with first < second, each once, in order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy import sparse

from tokenry.errors import UsageError

Pairs = Int[np.ndarray, "m 2"]


def shingles(text: str, n: int, *, of_words: bool = False) -> UInt[np.ndarray, " k"]:
    """Hashes of all runs of n characters, or words; a shorter text is one run.

    >>> len(shingles("banana", 3)), len(shingles("a b a b", 2, of_words=True))
    (3, 2)
    """
    parts: Sequence[str] = text.split() if of_words else text
    join = " " if of_words else ""
    runs = {join.join(parts[at : at + n]) for at in range(max(1, len(parts) - n + 1))}
    return np.sort(np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint32))


def jaccard(some: UInt[np.ndarray, "_"], others: UInt[np.ndarray, "_"]) -> float:
    """What two sets share over what either has.

    >>> jaccard(shingles("abcd", 2), shingles("bcde", 2))
    0.5
    """
    shared = len(np.intersect1d(some, others, assume_unique=True))
    whole = len(some) + len(others) - shared
    return shared / whole if whole else 0.0


def minhashes(
    sets: Sequence[UInt[np.ndarray, "_"]], count: int, seed: int = 0
) -> UInt[np.ndarray, "n h"]:
    """The smallest hash of each set under so many hash functions (Broder 1997).

    Two sets agree in a place with the probability of their Jaccard index.
    """
    draw = np.random.default_rng(seed)
    odd = draw.integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    plus = draw.integers(0, 2**63, count, dtype=np.uint64)
    found = np.full((len(sets), count), 2**32 - 1, dtype=np.uint32)
    for row, one in zip(found, sets, strict=True):
        if len(one):
            mixed = one.astype(np.uint64)[:, None] * odd + plus  # modulo 2^64
            row[:] = (mixed >> np.uint64(32)).min(0)
    return found


def banded(signatures: UInt[np.ndarray, "n h"], bands: int, rows: int) -> Pairs:
    """Pairs that agree in all rows of at least one band.

    A pair of Jaccard index s is found with the probability $1 - (1 - s^r)^b$.

    Raises:
        UsageError: If the signatures do not have bands times rows places.
    """
    if signatures.shape[1] != bands * rows:
        raise UsageError(
            f"banded: {bands} bands of {rows} rows need {bands * rows} hashes, not "
            f"{signatures.shape[1]}."
        )
    found: list[tuple[int, int]] = []
    for band in range(bands):
        part = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        _, bucket = np.unique(part, axis=0, return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        edges = np.flatnonzero(np.diff(bucket[order])) + 1
        for members in np.split(order, edges):
            found += _all_pairs(members.tolist())
    return _tidy(found)


def alike_sets(
    sets: Sequence[UInt[np.ndarray, "_"]], least: float, block: int = 256
) -> tuple[Pairs, Float[np.ndarray, " m"]]:
    """Pairs of sets with at least this Jaccard index, and the index of each; exact, in blocks.

    >>> alike_sets([shingles(t, 2) for t in ("abcd", "bcde", "xyz")], 0.4)[0].tolist()
    [[0, 1]]
    """
    sizes = np.array([len(one) for one in sets])
    _, columns = np.unique(np.concatenate([*sets]), return_inverse=True)
    starts = np.r_[0, np.cumsum(sizes)]
    table = sparse.csr_array((np.ones(len(columns), np.int32), columns, starts))
    across = table.T.tocsr()

    def scored() -> Iterator[tuple[int, Float[np.ndarray, "_ n"]]]:
        for start in range(0, len(sizes), block):
            shared = (table[start : start + block] @ across).toarray()
            whole = sizes[start : start + block, None] + sizes - shared
            yield start, shared / np.maximum(whole, 1)

    return _above(scored(), least, None)


def alike_vectors(
    vectors: Float[np.ndarray, "n d"], least: float, nearest: int | None = None, block: int = 1024
) -> tuple[Pairs, Float[np.ndarray, " m"]]:
    """Pairs of vectors of length one with at least this cosine, and the cosine of each.

    Args:
        vectors: Of length one.
        least: Smallest cosine.
        nearest: Take only so many nearest ones of each vector, itself left out; None for all.
        block: Rows that are compared at a time; block times n scores are in memory.
    """

    def scored() -> Iterator[tuple[int, Float[np.ndarray, "_ n"]]]:
        for start in range(0, len(vectors), block):
            yield start, vectors[start : start + block] @ vectors.T

    return _above(scored(), least, nearest)


def _above(
    scored: Iterable[tuple[int, Float[np.ndarray, "_ n"]]], least: float, nearest: int | None
) -> tuple[Pairs, Float[np.ndarray, " m"]]:
    """Pairs at or above a score; with `nearest`, those that are so near to one of the two."""
    rows, columns, values = [], [], []
    for start, block in scored:
        own = np.arange(start, start + len(block))
        block[np.arange(len(block)), own] = -np.inf
        if nearest is not None and nearest < block.shape[1]:
            last = np.partition(block, -nearest, axis=1)[:, -nearest, None]
            block[block < last] = -np.inf
        row, column = np.nonzero(block >= least)
        rows.append(own[row])
        columns.append(column)
        values.append(block[row, column])
    if not rows:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    both = np.sort(np.stack((np.concatenate(rows), np.concatenate(columns)), 1), axis=1)
    pairs, first = np.unique(both, axis=0, return_index=True)
    return pairs, np.concatenate(values).astype(np.float64)[first]


def _all_pairs(members: Sequence[int]) -> Iterator[tuple[int, int]]:
    for at, first in enumerate(members):
        for second in members[at + 1 :]:
            yield first, second


def _tidy(pairs: Sequence[tuple[int, int]]) -> Pairs:
    both = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return np.unique(np.sort(both, axis=1), axis=0)

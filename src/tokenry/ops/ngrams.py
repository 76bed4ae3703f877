"""Statistics of a stream of tokens: runs of n, rank and frequency, entropy, Huffman's code."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq

Ids = Int[np.ndarray, "_"]
Counts = Int[np.ndarray, "_"]

_STEEPEST = 20.0


def ngram_counts(sequences: Sequence[Ids], n: int) -> Counts:
    """How often each run of n tokens occurs; runs across two sequences do not count.

    >>> ngram_counts([np.array([1, 2, 1, 2]), np.array([2])], 2).tolist()
    [2, 1]
    """
    ids = np.concatenate([np.asarray(one, dtype=np.int64) for one in sequences])
    owner = np.repeat(np.arange(len(sequences)), [len(one) for one in sequences])
    size = int(ids.max(initial=0)) + 1
    keys = ids
    for step in range(1, n):
        _, keys = np.unique(keys[:-1], return_inverse=True)
        keys = keys * size + ids[step:]
    inside = owner[: len(keys)] == owner[n - 1 :]
    return np.sort(np.unique(keys[inside], return_counts=True)[1])[::-1]


def entropy(counts: Counts) -> float:
    """Entropy in bits of the shares that counts have.

    >>> entropy(np.array([2, 1, 1, 0]))
    1.5
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def miller_madow(counts: Counts) -> float:
    """Entropy in bits, with Miller and Madow's correction for having seen only so many.

    >>> round(miller_madow(np.array([1, 1])), 3)
    1.361
    """
    seen = int((counts > 0).sum())
    return entropy(counts) + (seen - 1) / (2 * int(counts.sum()) * math.log(2))


def huffman_bits(counts: Counts) -> float:
    """Bits per token of Huffman's code; of a single kind of token, none.

    >>> huffman_bits(np.array([2, 1, 1]))
    1.5
    """
    heap = [int(count) for count in counts if count]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total / int(counts.sum())


def least_squares_slope(counts: Counts) -> float:
    """Minus the slope of log frequency over log rank; every rank has the same weight."""
    ordered = np.sort(counts[counts > 0])[::-1]
    if len(ordered) < 2:
        return 0.0
    ranks = np.log(np.arange(1, len(ordered) + 1))
    return float(-np.polyfit(ranks, np.log(ordered), 1)[0])


def likeliest_slope(counts: Counts) -> float:
    r"""The exponent s under which ranks drawn with $p(r) \propto r^{-s}$ are likeliest.

    It solves $E_s[\log r] = \overline{\log r}$ over the ranks that occur, within 0 and 20.
    """
    ordered = np.sort(counts[counts > 0])[::-1]
    logs = np.log(np.arange(1, len(ordered) + 1))
    mean = float((logs * ordered).sum() / ordered.sum())

    def excess(slope: float) -> float:
        weights = np.exp(-slope * logs)
        return float((logs * weights).sum() / weights.sum()) - mean

    if len(ordered) < 2 or excess(0.0) <= 0:
        return 0.0
    return _STEEPEST if excess(_STEEPEST) > 0 else float(brentq(excess, 0.0, _STEEPEST))


def growth(sequences: Sequence[Ids]) -> Int[np.ndarray, "m"]:
    """How many different tokens were seen after each token.

    >>> growth([np.array([3, 3]), np.array([1])]).tolist()
    [1, 1, 2]
    """
    ids = np.concatenate(list(sequences))
    new = np.zeros(len(ids), dtype=np.int64)
    new[np.unique(ids, return_index=True)[1]] = 1
    return np.cumsum(new)


def heaps_exponent(grown: Int[np.ndarray, "m"]) -> float:
    """The exponent of different tokens over tokens, at 30 places equally far apart in the log."""
    if len(grown) < 2:
        return 0.0
    places = np.unique(np.geomspace(1, len(grown), 30).astype(int))
    fitted: Float[np.ndarray, "2"] = np.polyfit(np.log(places), np.log(grown[places - 1]), 1)
    return float(fitted[0])


def told(
    groups: Sequence[Sequence[Ids]], size: int
) -> tuple[Float[np.ndarray, " v"], Float[np.ndarray, "g v"]]:
    """What the presence of each token in a sequence tells of the group that the sequence is of.

    Args:
        groups: The sequences of each group.
        size: Tokens of the vocabulary.

    Returns:
        Mutual information in bits, less what chance brings to samples of this size (Miller), and 0
        for tokens that all sequences have or none; and the share of each group's sequences that
        have the token.

    >>> bits, _ = told([[np.array([0, 1])] * 50, [np.array([0])] * 50], 3)
    >>> bits.round(2).tolist()
    [0.0, 0.99, 0.0]
    """
    sizes = np.array([len(rows) for rows in groups])
    present = np.zeros((len(groups), size))
    for row, sequences in zip(present, groups, strict=True):
        for ids in sequences:
            row[np.unique(ids)] += 1
    shares = present / sizes[:, None]
    weights = sizes / sizes.sum()
    overall = weights @ shares
    chance = (len(groups) - 1) / (2 * sizes.sum() * math.log(2))
    bits = _of_yes(overall) - weights @ _of_yes(shares) - chance
    return np.where((overall > 0) & (overall < 1), bits, 0.0), shares


def _of_yes(share: Float[np.ndarray, "*v"]) -> Float[np.ndarray, "*v"]:
    """Entropy in bits of a yes that comes with this probability."""
    both = np.stack([share, 1 - share])
    made: Float[np.ndarray, "*v"] = -(both * np.log2(np.where(both > 0, both, 1))).sum(0)
    return made

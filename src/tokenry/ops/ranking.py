"""How good a ranking is, on graded labels: nDCG, reciprocal rank, recall, precision, their means.

All take the names of what was found, the best first, and labels by name. What has no label counts
as 0. A query without anything relevant gets 0 by every measure, as in trec_eval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence, Set
from typing import TypeVar

from tokenry.errors import UsageError

K = TypeVar("K", bound=Hashable)

GAINS = ("linear", "exponential")


def order(scores: Mapping[str, float | int]) -> list[str]:
    """The names by falling score; of equal scores the greater name comes first, as in trec_eval.

    Raises:
        UsageError: If a score is NaN, which has no place in an order.

    >>> order({"a": 1.0, "b": 2.0, "c": 1.0})
    ['b', 'c', 'a']
    """
    for name, score in scores.items():
        if math.isnan(score):
            raise UsageError(f"order: the score of {name!r} is NaN; give numbers.")
    return sorted(sorted(scores, reverse=True), key=lambda name: -scores[name])


def ndcg(
    ranking: Sequence[K], labels: Mapping[K, float | int], k: int | None = 10, gain: str = "linear"
) -> float:
    r"""Normalised discounted cumulative gain.

    $\mathrm{DCG}_k = \sum_{r=1}^{k} g(l_r) / \log_2(r + 1)$ with $g(l) = l$ or $2^l - 1$, over the
    same of the ideal order of all labels. Labels below 0 count as 0.

    Args:
        ranking: What was found, the best first.
        labels: How relevant each is.
        k: Ranks that count; None for all.
        gain: "linear" as in trec_eval, or "exponential".

    Raises:
        UsageError: If something is found twice, or an argument is not one of those above.

    >>> round(ndcg(["x", "a", "b"], {"a": 2, "b": 1}), 4)
    0.6697

    Source: Järvelin and Kekäläinen 2002; Burges et al. 2005 for the exponential gain.
    """
    if gain not in GAINS:
        raise UsageError(f"ndcg: gain={gain!r}; allowed: {' or '.join(map(repr, GAINS))}.")
    found = _first("ndcg", ranking, k)
    worth = {name: _gain(label, gain) for name, label in labels.items()}
    ideal = sorted(worth.values(), reverse=True)[:k]
    best = _discounted(ideal)
    return _discounted([worth.get(name, 0.0) for name in found]) / best if best else 0.0


def reciprocal_rank(
    ranking: Sequence[K],
    labels: Mapping[K, float | int],
    k: int | None = None,
    least: float | int | None = None,
) -> float:
    """One over the rank of the first that is relevant; 0 when none is.

    Args:
        ranking: What was found, the best first.
        labels: How relevant each is.
        k: Ranks that count; None for all.
        least: Smallest label that is relevant; None for every label above 0.

    Raises:
        UsageError: If something is found twice, or `k` is below 1.

    >>> reciprocal_rank(["x", "a"], {"a": 1})
    0.5
    """
    wanted = relevant(labels, least)
    found = _first("reciprocal_rank", ranking, k)
    return next((1 / rank for rank, name in enumerate(found, 1) if name in wanted), 0.0)


def recall(
    ranking: Sequence[K],
    labels: Mapping[K, float | int],
    k: int | None = None,
    least: float | int | None = None,
) -> float:
    """Share of what is relevant that was found; arguments as of `reciprocal_rank`.

    >>> recall(["x", "a"], {"a": 1, "b": 1})
    0.5
    """
    wanted = relevant(labels, least)
    found = _first("recall", ranking, k)
    return sum(name in wanted for name in found) / len(wanted) if wanted else 0.0


def precision(
    ranking: Sequence[K], labels: Mapping[K, float | int], k: int, least: float | int | None = None
) -> float:
    """Share of the first `k` ranks that is relevant; ranks that were not filled count as wrong.

    Other arguments as of `reciprocal_rank`.

    >>> precision(["x", "a"], {"a": 1}, k=4)
    0.25
    """
    wanted = relevant(labels, least)
    return sum(name in wanted for name in _first("precision", ranking, k)) / k


def average_precision(
    ranking: Sequence[K],
    labels: Mapping[K, float | int],
    k: int | None = None,
    least: float | int | None = None,
) -> float:
    """Mean of the precisions at the ranks of all that is relevant, 0 for what was not found.

    The mean of it over queries is MAP. Arguments as of `reciprocal_rank`.

    >>> average_precision(["a", "x", "b"], {"a": 1, "b": 1})
    0.8333333333333333
    """
    wanted = relevant(labels, least)
    hits, total = 0, 0.0
    for rank, name in enumerate(_first("average_precision", ranking, k), 1):
        if name in wanted:
            hits += 1
            total += hits / rank
    return total / len(wanted) if wanted else 0.0


def overlap(ranking: Sequence[K], other: Sequence[K], k: int) -> float:
    """Share of the other ranking's first `k` that is among this one's; 1 when both are empty.

    Where the other holds fewer than `k`, as many count.

    Raises:
        UsageError: If something is found twice, or `k` is below 1.

    >>> overlap(["a", "b"], ["b", "c"], k=2)
    0.5
    """
    mine, theirs = (set(_first("overlap", found, k)) for found in (ranking, other))
    return len(mine & theirs) / len(theirs) if theirs else float(not mine)


def relevant(labels: Mapping[K, float | int], least: float | int | None = None) -> Set[K]:
    """What has a label of at least `least`; with None, one above 0."""
    if least is None:
        return {name for name, label in labels.items() if label > 0}
    return {name for name, label in labels.items() if label >= least}


def _first(who: str, ranking: Sequence[K], k: int | None) -> Sequence[K]:
    """The ranks that count."""
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise UsageError(f"{who}: k={k!r} is not a whole number of at least 1.")
    if len(set(ranking)) < len(ranking):
        twice = next(name for i, name in enumerate(ranking) if name in ranking[:i])
        raise UsageError(f"{who}: {twice!r} is found twice; a ranking names each document once.")
    return ranking[:k]


def _gain(label: float | int, gain: str) -> float:
    positive = max(float(label), 0.0)
    return positive if gain == "linear" else 2.0**positive - 1


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))

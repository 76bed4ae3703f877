"""A sample of scored pairs to label, and what its answers say of all pairs.

The rule: the pairs are ranked by score and cut into strata. One holds the pairs nearest to the
threshold, half of them on either side; it gets half of the questions, because its answers move the
threshold. What is left above it falls into two halves, what is left below into three parts of which
each is twice as large as the one above; they share the other questions alike. Within a stratum
pairs are asked in the order of a hash of their contents, so that those asked at any moment are a
random sample of it, and the same ones in another run. A pair of a stratum of N pairs, of which n
are answered, stands for N / n pairs (Horvitz and Thompson 1952). So the estimates are unbiased
although many questions are about doubtful pairs. They are about pairs that were compared: what
blocking left out, no answer can tell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from tokenry.ops.agreement import ratios
from tokenry.ops.resampling import LEVEL, Interval

NAMES = ("near the threshold", "far above", "above", "below", "far below", "farthest below")
"""The strata, in the order of their numbers."""

_DRAWS = 2000
_NO_PRIOR = 1e-6  # none at all would leave the share undefined where all answers are alike

Scores = Float[np.ndarray, " m"]
Strata = Int[np.ndarray, " m"]


class Estimates(NamedTuple):
    """How good links are from some score on."""

    precision: Interval
    recall: Interval
    f1: Interval


def strata(scores: Scores, threshold: float, near: int) -> Strata:
    """The stratum of each pair, as a number of `NAMES`.

    Args:
        scores: Of all pairs that were compared.
        threshold: The score from which on a pair is a match.
        near: How many pairs are near the threshold.

    >>> strata(np.array([0.9, 0.8, 0.6, 0.4, 0.3, 0.1]), 0.5, 2).tolist()
    [1, 2, 0, 0, 3, 5]
    """
    order = np.argsort(-scores, kind="stable")
    above = int((scores >= threshold).sum())
    below = len(scores) - above
    up = min(above, max(near // 2, near - below))
    down = min(below, near - up)
    found = np.zeros(len(scores), dtype=np.int64)
    high, low = order[: above - up], order[above + down :]
    found[high] = np.where(np.arange(len(high)) < len(high) // 2, 1, 2)
    found[low] = (
        np.searchsorted(np.ceil(np.array([1, 3]) / 7 * len(low)), np.arange(len(low)), "right") + 3
    )
    return found


def asked(
    strata: Strata, keys: UInt[np.ndarray, " m"], count: int, share: float = 0.5
) -> Int[np.ndarray, " q"]:
    """Which pairs to ask about, in the order in which they are asked.

    Any beginning of the order holds the strata in the same proportions as all of it.

    Args:
        strata: The stratum of each pair.
        keys: A hash of each pair's contents.
        count: How many questions there may be.
        share: The share of them that is not near the threshold.
    """
    places, members = [], []
    for stratum, quota in _quotas(np.bincount(strata, minlength=len(NAMES)), count, share):
        own = np.flatnonzero(strata == stratum)
        first = own[np.argsort(keys[own], kind="stable")[:quota]]
        members.append(first)
        places.append((np.arange(len(first)) + 0.5) / max(quota, 1))
    if not members:
        return np.zeros(0, dtype=np.int64)
    return np.concatenate(members)[np.argsort(np.concatenate(places), kind="stable")]


def _quotas(sizes: Int[np.ndarray, " s"], count: int, share: float) -> list[tuple[int, int]]:
    """How many questions each stratum gets; what one cannot use, others do."""
    quotas = np.zeros(len(sizes), dtype=np.int64)
    quotas[0] = min(sizes[0], round(count * (1 - share)))
    while (left := min(count, int(sizes.sum())) - int(quotas.sum())) > 0:
        room = sizes - quotas
        open_ = np.flatnonzero(room[1:] > 0) + 1 if (room[1:] > 0).any() else np.array([0])
        extra = np.full(len(open_), left // len(open_))
        extra[: left % len(open_)] += 1
        quotas[open_] += np.minimum(extra, room[open_])
    return [(stratum, int(quota)) for stratum, quota in enumerate(quotas) if quota]


class _Cells(NamedTuple):
    """Pairs of one stratum on one side of the threshold: all, answered, and true among those."""

    size: Int[np.ndarray, " c"]
    answered: Int[np.ndarray, " c"]
    same: Int[np.ndarray, " c"]
    above: Bool[np.ndarray, " c"]


def estimated(
    strata: Strata, scores: Scores, answers: Scores, threshold: float, seed: int = 0
) -> Estimates:
    """Precision, recall and F1 of "a match from this score on", among all pairs compared.

    The intervals draw what is not known: in each stratum and on either side of the threshold the
    share of true pairs is drawn from what the answers there leave open, and then how many of the
    unanswered pairs are true. Where all answers of a large stratum are alike, the prior decides how
    many others there may be; so it is done with Jeffreys' prior and with none, and the interval
    holds both, and the estimate.

    Args:
        strata: The stratum of each pair, by whatever score chose the questions.
        scores: The scores that are judged; the same ones, or those of a linker that has learned.
        answers: 1 and 0; NaN where there is none.
        threshold: The score from which on a pair is a match.
        seed: Of the draws.

    Raises:
        ValueError: If nothing was answered.
    """
    cells = _cells(strata, scores, answers, threshold)
    if not cells.answered.any():
        raise ValueError("nothing was answered")
    draw, tail = np.random.default_rng(seed), (1 - LEVEL) / 2
    values = _figures(_expected(cells)[None], cells)[0]
    ends = [values]
    for prior in (0.5, _NO_PRIOR):
        share = draw.beta(
            cells.same + prior, cells.answered - cells.same + prior, (_DRAWS, len(cells.size))
        )
        true = cells.same + draw.binomial(cells.size - cells.answered, share)
        drawn = _figures(true.astype(np.float64), cells)
        ends += list(np.quantile(drawn, [tail, 1 - tail], axis=0))
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    return Estimates(*(Interval(*map(float, one)) for one in zip(values, low, high, strict=True)))


def tuned_threshold(strata: Strata, scores: Scores, answers: Scores) -> float:
    """The score from which on the estimated F1 is greatest.

    Tried are the middles between answered pairs' scores, and the lowest; of equals the highest.

    Raises:
        ValueError: If nothing was answered.
    """
    known = np.unique(scores[~np.isnan(answers) & np.isfinite(scores)])
    if not len(known):
        raise ValueError("nothing was answered")
    tried = np.concatenate([known[:1], (known[1:] + known[:-1]) / 2])
    f1 = []
    for threshold in tried:
        cells = _cells(strata, scores, answers, float(threshold))
        f1.append(float(_figures(_expected(cells)[None], cells)[0, 2]))
    return float(tried[len(f1) - 1 - int(np.argmax(f1[::-1]))])


def _cells(strata: Strata, scores: Scores, answers: Scores, threshold: float) -> _Cells:
    above = scores >= threshold
    cell = strata * 2 + above
    there, known = np.unique(cell), ~np.isnan(answers)
    size, answered, same = (
        np.bincount(some, minlength=2 * len(NAMES))[there]
        for some in (cell, cell[known], cell[known & (answers > 0.5)])
    )
    return _Cells(size, answered, same, there % 2 == 1)


def _expected(cells: _Cells) -> Float[np.ndarray, " c"]:
    """True pairs of each cell; where nothing was answered, by the answers on that side, or half."""
    rates = np.zeros(len(cells.size))
    for at in range(len(rates)):
        some = np.arange(len(rates)) == at
        if not cells.answered[at]:
            some = cells.above == cells.above[at]
        answered = cells.answered[some].sum()
        rates[at] = cells.same[some].sum() / answered if answered else 0.5
    return np.asarray(rates * cells.size, dtype=np.float64)


def _figures(true: Float[np.ndarray, "r c"], cells: _Cells) -> Float[np.ndarray, "r 3"]:
    """Precision, recall and F1 of each row of counts."""
    found = np.full(len(true), cells.size[cells.above].sum())
    return ratios(np.stack((true[:, cells.above].sum(1), found, true.sum(1)), 1))

"""What a language model's next word says: shares of groups of words, averaged orders, tournaments.

A group holds every token that means one thing: "Yes", " yes" and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from tokenry.errors import UsageError

Group = tuple[int, ...]
Ask = Callable[[list[tuple[int, Group]]], Sequence[Float[np.ndarray, "_"]]]
"""Questions (which column, which candidates) to the share of each candidate, that of none last."""

_LEAST = 1e-12


def shares(
    scores: Float[np.ndarray, "m v"], groups: Sequence[Sequence[int]]
) -> Float[np.ndarray, "m g"]:
    r"""The probability of each group of tokens, against the other groups alone.

    $p_g = \sum_{t \in g} e^{s_t} / \sum_h \sum_{t \in h} e^{s_t}$. Scores of tokens in no group,
    and a constant that is added to all, change nothing.

    Args:
        scores: Logits, or log-probabilities of which some may be -inf.
        groups: Columns of each group; no column twice.

    Returns:
        Rows that sum to 1; NaN where no group has a finite score.

    >>> shares(np.log([[1.0, 2.0, 1.0, 9.0]]), [(0, 1), (2,)]).round(2).tolist()
    [[0.75, 0.25]]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.stack([logsumexp(scores[:, list(one)], axis=1) for one in groups], axis=1)
        found = np.exp(parts - logsumexp(parts, axis=1, keepdims=True))
    return np.asarray(found, dtype=np.float64)


def shifts(count: int) -> Int[np.ndarray, "c c"]:
    """Every cyclic shift of so many options: row s begins with option s.

    >>> shifts(3).tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    steps = np.arange(count)
    return (steps[:, None] + steps[None]) % count


def unshifted(answers: Float[np.ndarray, "s c"]) -> Float[np.ndarray, " c"]:
    """The share of each option over all shifts: the geometric mean, made to sum to 1.

    Where a place adds the same to the score of whatever stands in it, the mean is the same for
    every order of the options; the arithmetic mean would be so for cyclic shifts of one order only.

    Args:
        answers: For each row of `shifts`, the shares by place. Rows with NaN are left out.

    Returns:
        Shares by option; NaN where no shift was answered.

    >>> unshifted(np.array([[0.9, 0.1], [0.5, 0.5]])).round(2).tolist()
    [0.75, 0.25]
    """
    count = answers.shape[1]
    options = np.arange(count)
    place = (options[None] - np.arange(len(answers))[:, None]) % count
    by_option = np.take_along_axis(answers, place, axis=1)
    read = by_option[~np.isnan(by_option).any(axis=1)]
    if not len(read):
        return np.full(count, np.nan)
    logs = np.log(np.maximum(read, _LEAST)).mean(axis=0)
    return np.asarray(np.exp(logs - logsumexp(logs)), dtype=np.float64)


def tournaments(fields: Sequence[Sequence[int]], size: int, ask: Ask) -> list[dict[int, float]]:
    r"""Let candidates compete in groups, whose winners meet again, until one or none is left.

    "None of these" takes part in every question; where it wins, the whole group is out. For N
    candidates of a field there are at most $\lceil N / (g - 1) \rceil$ questions, and with
    answers that are always right the best one comes out first.

    The score of a winner is its probability against none in its last question. One that lost keeps
    its odds against whoever beat it, so that no loser scores above its winner.

    Args:
        fields: Candidates of each column, in the order in which they are asked about.
        size: Most candidates in a question, g.
        ask: Answers all questions of a round.

    Returns:
        For each field the score of every candidate, between 0 and 1; below 0.5 for all where none
        won.

    Raises:
        UsageError: If fewer than two candidates fit into a question.

    >>> def larger(questions):
    ...     return [np.array([*group, 5.0]) for _, group in questions]
    >>> tournaments([(2, 9, 7), (1,)], 2, larger)
    [{2: 0.285..., 7: 0.583..., 9: 0.642...}, {1: 0.166...}]
    """
    if size < 2:
        raise UsageError(f"tournament: size={size} leaves nothing to choose; give 2 or more.")
    matches = [_Field(list(field)) for field in fields]
    while True:
        questions = [
            (number, group) for number, one in enumerate(matches) for group in one.groups(size)
        ]
        if not questions:
            return [one.scores() for one in matches]
        for (number, group), answer in zip(questions, ask(questions), strict=True):
            unread = np.eye(len(answer))[-1]  # counts as none
            matches[number].settle(group, unread if np.isnan(answer).any() else answer)


class _Field:
    """Who is still in, and by which odds everybody else went out."""

    def __init__(self, candidates: list[int]) -> None:
        self._left = candidates
        self._odds: dict[int, float] = {}  # against none
        self._beaten: dict[int, tuple[int, float]] = {}  # by whom, and the odds against it

    def groups(self, size: int) -> list[Group]:
        """The questions of the next round; full ones, unless it is the last."""
        left = self._left
        if not left or (len(left) == 1 and left[0] in self._odds):
            return []
        if len(left) <= size:
            return [tuple(left)]
        return [tuple(left[i * size : (i + 1) * size]) for i in range(len(left) // size)]

    def settle(self, group: Group, answer: Float[np.ndarray, "_"]) -> None:
        """Take out who did not win."""
        share = np.maximum(answer, _LEAST)
        best, none = int(share[:-1].argmax()), float(share[-1])
        won = answer[best] >= answer[-1]
        out = set(group) - ({group[best]} if won else set())
        self._left = [one for one in self._left if one not in out]
        for place, one in enumerate(group):
            if won and place != best:
                self._beaten[one] = (group[best], float(share[place] / share[best]))
            else:
                self._odds[one] = float(share[place]) / none

    def scores(self) -> dict[int, float]:
        """What the odds come to."""
        return {one: self._against_none(one) for one in sorted({*self._odds, *self._beaten})}

    def _against_none(self, one: int) -> float:
        odds = 1.0
        while one in self._beaten:
            one, ratio = self._beaten[one]
            odds *= ratio
        odds *= self._odds[one]
        return odds / (1 + odds)

"""Weights of kinds of text under which each merge of a list was the most frequent pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import MissingExtraError
from tokenry.ops.merges import Replay

_ENOUGH = 200  # rows added at a time
_FORGET = 10  # rounds after which rows that do not bind are taken away
_LOOSE = 1e-3  # of a row; from there on it does not bind
_CLOSE = 1e-6  # of a row, and of the objective: ten times what the solver allows itself


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class History:
    """What each pair counts before each merge of a list, in spans of merges without a change.

    Merges that take no pair, since it does not occur, are left out; the others have numbers.

    Attributes:
        pair: The pair of each span, as a row of `Replay`.
        begin: The first merge of it.
        end: One after the last merge of it.
        counts: How often the pair occurs before each of these merges.
        taken: The span of the pair that each merge takes.
        missing: Places in the list of the merges that are left out.
    """

    pair: Int[np.ndarray, " s"]
    begin: Int[np.ndarray, " s"]
    end: Int[np.ndarray, " s"]
    counts: Float[np.ndarray, "s k"]
    taken: Int[np.ndarray, " t"]
    missing: tuple[int, ...]

    def weighed(self, weights: Float[np.ndarray, "k n"]) -> History:
        """The same history with other columns: sums of those that it has."""
        return replace(self, counts=self.counts @ weights)


def history(replay: Replay, merges: Iterable[Sequence[int]]) -> History:
    """The history of words under a list of merges, which are applied to them."""
    taken: list[int] = []
    missing: list[int] = []
    pairs, counts = [np.arange(len(replay.pairs))], [replay.counts.copy()]
    for place, (left, right, made) in enumerate(merges):
        changed = replay.merge(left, right, made)
        if len(changed):
            taken.append(replay.row(left, right) or 0)
            pairs.append(changed)
            counts.append(replay.counts[changed])
        else:
            missing.append(place)
    pair = np.concatenate(pairs)
    begin = np.repeat(np.arange(len(pairs)), [len(one) for one in pairs])
    order = np.lexsort((begin, pair))
    pair, begin = pair[order], begin[order]
    last = np.append(pair[1:] != pair[:-1], True)
    end = np.where(last, len(taken), np.append(begin[1:], 0))
    some = begin < end
    pair, begin, end = pair[some], begin[some], end[some]
    key = pair * len(taken) + begin
    now = np.array(taken, np.int64) * len(taken) + np.arange(len(taken))
    return History(
        pair=pair,
        begin=begin,
        end=end,
        counts=np.concatenate(counts)[order][some],
        taken=np.searchsorted(key, now, side="right") - 1,
        missing=tuple(missing),
    )


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Mixture:
    """The solution of the linear program.

    Attributes:
        weights: Of each kind; they sum to one.
        slack: What the merges and pairs that do not fit cost at the optimum, in shares of pairs.
        rows: The merges and spans whose rows were needed.
    """

    weights: Float[np.ndarray, " n"]
    slack: float
    rows: tuple[tuple[int, int], ...]


class MixtureProgram:
    r"""The linear program of Hayase et al. 2024, whose rows are made when they are needed.

    .. math:: \min \sum_t v_t + \sum_p u_p \quad \sum_i \alpha_i = 1, \quad
        \sum_i \alpha_i (g_{t,i}(m_t) - g_{t,i}(p)) + v_t + u_p \ge 0

    with the share :math:`g_{t,i}(p)` of pair p among those of kind i before merge t, relative to
    all its pairs before the first. There is a row for each merge and pair; those that a solution
    breaks are looked for, the worst of each pair is added, and the solver goes on from where it
    was, until no row is broken.

    Args:
        shares: The history with a column per kind, each divided by all pairs of that kind.
        rows: Merges and spans to begin with, such as those of a similar program.

    Raises:
        MissingExtraError: If highspy is not installed.
    """

    def __init__(self, shares: History, rows: Iterable[tuple[int, int]] = ()) -> None:
        self._shares = shares
        self._kinds = shares.counts.shape[1]
        self._unit = float(np.median(shares.counts[shares.taken].mean(1)))  # rows are about 1
        self._solver = solver = _solver()
        for _ in range(self._kinds):
            solver.addCol(0.0, 0.0, 1.0, 0, [], [])
        self._total = self._kinds  # the column of the sum of all slack
        solver.addCol(1.0, 0.0, solver.inf, 0, [], [])
        solver.addRow(1.0, 1.0, self._kinds, range(self._kinds), np.ones(self._kinds))
        solver.addRow(0.0, 0.0, 1, [self._total], [-1.0])
        self._merges: dict[int, int] = {}
        self._pairs: dict[int, int] = {}
        self._rows: list[tuple[int, int]] = []
        self._add(list(rows))

    def solve(self, rounds: int | None = None) -> Mixture:
        """The weights that cost the least slack.

        Args:
            rounds: How often rows are added at most; as often as some are broken when None.
        """
        values = self._settle(rounds)
        return Mixture(
            weights=values[: self._kinds],
            slack=float(values[self._total]) * self._unit,
            rows=tuple(self._rows),
        )

    def optimal(self, rounds: int | None = None) -> Float[np.ndarray, "m n"]:
        """Optimal weights in which each kind has its least, and in which it has its largest one.

        Args:
            rounds: How often rows are added for each at most; what is then left out makes the
                range larger, never smaller.
        """
        solver, least = self._solver, self._settle()[self._total]
        solver.changeColBounds(self._total, 0.0, least * (1 + _CLOSE) + _CLOSE)
        solver.changeColCost(self._total, 0.0)
        weights = []
        for kind in range(self._kinds):
            for cost in (1.0, -1.0):
                solver.changeColCost(kind, cost)
                weights.append(self._settle(rounds)[: self._kinds])
            solver.changeColCost(kind, 0.0)
        solver.changeColBounds(self._total, 0.0, solver.inf)
        solver.changeColCost(self._total, 1.0)
        return np.array(weights)

    def _settle(self, rounds: int | None = None) -> Float[np.ndarray, " c"]:
        """Solve until no row is broken; the values of all columns."""
        forgotten = -np.inf
        for done in count():
            self._solver.run()
            values = np.array(self._solver.getSolution().col_value)
            broken = [] if done == rounds else self._broken(values)
            if not broken:
                break
            cost = self._solver.getObjectiveValue()
            if done % _FORGET == 0 and cost > forgotten:  # so that it cannot go in circles
                forgotten = cost
                self._forget()
            self._add(broken)
        return values

    def _forget(self) -> None:
        """Without the rows that do not bind now; those needed later are found again."""
        values = np.array(self._solver.getSolution().row_value)[2:]
        loose = np.flatnonzero(values > _LOOSE)
        if len(loose):
            self._solver.deleteRows(len(loose), (loose + 2).astype(np.int32))
            away = set(loose.tolist())
            self._rows = [row for at, row in enumerate(self._rows) if at not in away]

    def _broken(self, values: Float[np.ndarray, " c"]) -> list[tuple[int, int]]:
        """The rows that a solution breaks most, one of each pair."""
        shares = self._shares
        score = shares.counts @ (values[: self._kinds] / self._unit)
        limit = score[shares.taken]
        limit[list(self._merges)] += values[list(self._merges.values())]
        slack = np.zeros(int(shares.pair.max()) + 1)
        slack[list(self._pairs)] = values[list(self._pairs.values())]
        merge = _least(limit, shares.begin, shares.end)
        excess = score - slack[shares.pair] - limit[merge]
        worst = np.flatnonzero(excess > _CLOSE)
        worst = worst[np.argsort(-excess[worst], kind="stable")]
        _, of_pair = np.unique(shares.pair[worst], return_index=True)
        spans = worst[np.sort(of_pair)][:_ENOUGH]
        rows = zip(merge[spans].tolist(), spans.tolist(), strict=True)
        known = set(self._rows)
        return [row for row in rows if row not in known]

    def _add(self, rows: Sequence[tuple[int, int]]) -> None:
        """Rows that say: before this merge, its pair was no rarer than that of the span."""
        shares = self._shares
        for merge, span in rows:
            self._rows.append((merge, span))
            slacks = [
                self._column(self._merges, merge),
                self._column(self._pairs, int(shares.pair[span])),
            ]
            row = (shares.counts[shares.taken[merge]] - shares.counts[span]) / self._unit
            columns, factors = [*range(self._kinds), *slacks], [*row, 1.0, 1.0]
            self._solver.addRow(0.0, self._solver.inf, len(columns), columns, factors)

    def _column(self, columns: dict[int, int], place: int) -> int:
        """The column of the slack of a merge or of a pair, which the sum of slack holds."""
        if place not in columns:
            columns[place] = self._total + 1 + len(self._merges) + len(self._pairs)
            self._solver.addCol(0.0, 0.0, self._solver.inf, 1, [1], [1.0])
        return columns[place]


def _least(
    values: Float[np.ndarray, " t"], begin: Int[np.ndarray, " s"], end: Int[np.ndarray, " s"]
) -> Int[np.ndarray, " s"]:
    """Where the least of the values from begin to end stands, for many spans at once."""
    table = [np.arange(len(values))]  # of each place: the least of it and 2^k - 1 that follow
    while 2 ** len(table) <= len(values):
        half = 2 ** (len(table) - 1)
        table.append(_lower(values, table[-1][:-half], table[-1][half:]))
    power = np.frexp(end - begin)[1] - 1
    found = np.empty_like(begin)
    for k, least in enumerate(table):
        of = power == k
        found[of] = _lower(values, least[begin[of]], least[end[of] - 2**k])
    return found


def _lower(
    values: Float[np.ndarray, " t"], one: Int[np.ndarray, " n"], other: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Of two places each, that of the lower value."""
    lower: Int[np.ndarray, " n"] = np.where(values[other] < values[one], other, one)
    return lower


def _solver() -> Any:
    """HiGHS, silent, on one core: the same input gives the same output."""
    try:
        solver = import_module("highspy").Highs()
    except ModuleNotFoundError as error:
        raise MissingExtraError("data-mixture", 'pip install "tokenry[vocab]"') from error
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver
